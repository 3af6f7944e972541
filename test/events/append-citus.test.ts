/**
 * The append's form for Citus, on any PostgreSQL: it decides and stores as the usual one does. What only a cluster can show is
 * in `test/citus`.
 */
import { describe, expect, test } from "vitest";
import type { Append } from "../../src/events/append.ts";
import { citusTexts } from "../../src/events/append-citus.ts";
import { LatestIds } from "../../src/events/latest-ids.ts";
import { roundsOfInserts } from "../../src/events/rounds.ts";
import { append, type Log, useLog } from "./append-fixture.ts";

const openLog = useLog();

async function send({ names, transaction, queriesOf }: Log, batch: readonly Append[], announce = false) {
  const mode = { announce, headBy: "id", sequence: null, deferred: false } as const;
  const { queries, read } = roundsOfInserts(citusTexts(names, mode, "me"), batch, new LatestIds());
  const [lock] = queriesOf(batch);
  const [, ...answers] = await transaction([lock, ...queries]);
  return { queries, ...read(answers.map((rows) => rows[0])) };
}

const outcomesOf = (outcomes: readonly { accepted: boolean; head: number; ids: readonly number[] }[]) =>
  outcomes.map(({ accepted, head, ids }) => ({ accepted, head, ids: [...ids] }));

const batches = [
  [append("a", -1, "a0", "a1"), append("b", null, "b0"), append("c", 4, "never")],
  [append("b", 0, "b1", "b2"), append("a", 0, "never", "never"), append("d", null, "d0")],
  [append("a", 1, "a2"), append("b", 1, "never"), append("none", -1, "n0", "n1", "n2")],
];

describe("the append for Citus", () => {
  test("accepts, refuses and numbers as the usual one", async () => {
    const [usual, citus] = [await openLog(), await openLog()];
    for (const batch of batches)
      expect(outcomesOf((await send(citus, batch)).outcomes)).toEqual(outcomesOf(await usual.send(batch)));
    const rows = ({ sql, names }: Log) =>
      sql(`select id, stream, version, name, data, meta, token from ${names.events} order by id`);
    expect(await rows(citus)).toEqual(await rows(usual));
  });

  test("takes several commits to one stream in rounds, one after the other", async () => {
    const log = await openLog();
    const batch = [
      append("s", -1, "s0", "s1"),
      append("s", -1, "never"),
      append("t", null, "t0"),
      append("s", 1, "s2"),
    ];
    const { queries, outcomes } = await send(log, batch);
    expect(queries).toHaveLength(6);
    expect(outcomesOf(outcomes)).toEqual([
      { accepted: true, head: -1, ids: [1, 2] },
      { accepted: false, head: 1, ids: [] },
      { accepted: true, head: -1, ids: [3] },
      { accepted: true, head: 1, ids: [4] },
    ]);
  });

  test("tells each commit when its own events were created", async () => {
    const log = await openLog();
    const { outcomes } = await send(log, [append("s", null, "s0"), append("s", null, "s1")]);
    const rows = await log.sql(`select created from ${log.names.events} order by id`);
    expect(outcomes.map(({ created }) => created)).toEqual(rows.map(({ created }) => created));
  });

  test("announces what it has stored, and nothing else", async () => {
    const log = await openLog();
    const received = await log.announced((payload) => JSON.parse(payload));
    await send(log, batches[0] ?? [], true);
    await expect.poll(() => received).toHaveLength(2);
    expect(received).toEqual([
      {
        stream: "a",
        by: "me",
        events: [
          { id: 1, name: "a0" },
          { id: 2, name: "a1" },
        ],
      },
      { stream: "b", by: "me", events: [{ id: 3, name: "b0" }] },
    ]);
  });
});
