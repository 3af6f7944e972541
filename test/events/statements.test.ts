/** The append statement on a server: what it accepts, what it writes, and what it announces. */
import { describe, expect, test } from "vitest";
import { type Append, UNSATISFIABLE_VERSION } from "../../src/events/append.ts";
import type { Query } from "../../src/postgres/index.ts";
import { holdMessage, lockAppends, lockAppendsUntil } from "../../src/schema/append-lock.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { append, type Log, useLog } from "./append-fixture.ts";
import { commit } from "./fixture.ts";

const openLog = useLog();

const rows = async ({ sql, names }: Log) =>
  (
    await sql(
      `select id::int, stream, version, name, data ->> 'of' as data, meta ->> 'm' as meta from ${names.events} order by id`,
    )
  ).map((row) => ({ ...row }));

const event = (id: number, stream: string, version: number, name: string) => ({
  id,
  stream,
  version,
  name,
  data: name,
  meta: stream,
});

describe("a batch", () => {
  test("on several streams meets their heads, writes what they accept, and leaves the rest", async () => {
    const log = await openLog();
    await log.send([append("a", -1, "a0", "a1", "a2")]);
    await log.send([append("b", null, "b0")]);
    const batch = [
      append("a", 2, "a3", "a4"),
      append("b", 5, "never"),
      append("c", -1, "c0"),
      append("d", 0, "never"),
      append("e", null, "e0", "e1"),
    ];
    expect(await log.send(batch)).toEqual([
      { accepted: true, head: 2, ids: [5, 6] },
      { accepted: false, head: 0, ids: [] },
      { accepted: true, head: -1, ids: [7] },
      { accepted: false, head: -1, ids: [] },
      { accepted: true, head: -1, ids: [8, 9] },
    ]);
    expect(await rows(log)).toEqual([
      event(1, "a", 0, "a0"),
      event(2, "a", 1, "a1"),
      event(3, "a", 2, "a2"),
      event(4, "b", 0, "b0"),
      event(5, "a", 3, "a3"),
      event(6, "a", 4, "a4"),
      event(7, "c", 0, "c0"),
      event(8, "e", 0, "e0"),
      event(9, "e", 1, "e1"),
    ]);
  });

  test("with several commits to a stream decides one after the other: each sees what was accepted before it", async () => {
    const log = await openLog();
    await log.send([append("a", -1, "a0")]);
    await log.send([append("b", -1, "b0", "b1")]);
    const batch = [
      append("a", 0, "a1", "a2"),
      append("b", 1, "b2"),
      append("a", 0, "never"),
      append("a", 2, "a3"),
      append("b", null, "b3", "b4"),
      append("a", null, "a4"),
      append("c", null, "c0"),
      append("c", -1, "never"),
      append("c", 0, "c1"),
      append("b", 2, "never"),
    ];
    expect(await log.send(batch)).toEqual([
      { accepted: true, head: 0, ids: [4, 5] },
      { accepted: true, head: 1, ids: [6] },
      { accepted: false, head: 2, ids: [] },
      { accepted: true, head: 2, ids: [7] },
      { accepted: true, head: 2, ids: [8, 9] },
      { accepted: true, head: 3, ids: [10] },
      { accepted: true, head: -1, ids: [11] },
      { accepted: false, head: 0, ids: [] },
      { accepted: true, head: 0, ids: [12] },
      { accepted: false, head: 4, ids: [] },
    ]);
    expect((await rows(log)).map(({ name }) => name)).toEqual(
      "a0 b0 b1 a1 a2 b2 a3 b3 b4 a4 c0 c1".split(" "),
    );
  });

  test("accepts no version that no head can have, and all that expects none, on new streams and old ones", async () => {
    const log = await openLog();
    const impossible = (stream: string) => append(stream, UNSATISFIABLE_VERSION, "never");
    const batch = [impossible("a"), append("a", null, "a0"), impossible("a"), append("a", null, "a1")];
    expect(await log.send(batch)).toEqual([
      { accepted: false, head: -1, ids: [] },
      { accepted: true, head: -1, ids: [1] },
      { accepted: false, head: 0, ids: [] },
      { accepted: true, head: 0, ids: [2] },
    ]);
  });

  test("that is refused as a whole writes nothing and burns no ids", async () => {
    const log = await openLog();
    for (const batch of [
      [append("a", 4, "x")],
      [append("a", 4, "x"), append("b", 0, "y"), append("a", 5, "z")],
    ])
      expect((await log.send(batch)).map(({ accepted }) => accepted)).not.toContain(true);
    expect(await rows(log)).toEqual([]);
    expect(await log.send([append("a", null, "a0")])).toMatchObject([{ ids: [1] }]);
  });

  test("of 512 commits to one stream, every third with a version that is not the head, is decided in order", async () => {
    const log = await openLog();
    let head = -1;
    const batch = Array.from({ length: 512 }, (_, i) => {
      const accepted = i % 3 !== 0;
      const one = append("s", i % 3 === 1 ? null : accepted ? head : head + 1, `e${i}`);
      if (accepted) head++;
      return one;
    });
    const outcomes = await log.send(batch);
    expect(outcomes.map(({ accepted }) => accepted)).toEqual(batch.map((_, i) => i % 3 !== 0));
    expect((await rows(log)).map(({ version }) => version)).toEqual(
      Array.from({ length: head + 1 }, (_, i) => i),
    );
  });
});

describe("what is written", () => {
  test("is each event's own pii and note of its dates, alone and in a batch", async () => {
    const { send, sql, names } = await openLog();
    const dated = (stream: string, ...notes: (string | null)[]): Append => ({
      ...append(stream, null),
      events: notes.map((note) => ({
        name: "A",
        data: "{}",
        pii: note === null ? null : `{"p":"${note}"}`,
        dates: `{"data":[["${note}"]]}`,
      })),
    });
    await send([dated("a", "one", null, "two")]);
    await send([dated("b", null, "three"), dated("c", "four")]);
    await send([dated("d", "five"), dated("d", null), dated("d", "six")]);
    const kept = await sql(
      `select pii ->> 'p' as pii, dates #>> '{data,0,0}' as note from ${names.events} order by id`,
    );
    const notes = ["one", null, "two", null, "three", "four", "five", null, "six"];
    expect(kept.map(({ pii, note }) => [pii, note])).toEqual(notes.map((note) => [note, String(note)]));
  });

  test("has the commit's token with its first event, and with no other", async () => {
    const { send, sql, names } = await openLog();
    const batch = [
      append("a", null, "a0", "a1"),
      append("b", 7, "never"),
      append("a", 1, "a2"),
      append("c", -1, "c0"),
    ];
    await send(batch);
    const [a, , a2, c] = batch.map(({ token }) => token);
    const kept = await sql(`select name, token from ${names.events} order by id`);
    expect(kept.map(({ name, token }) => [name, token])).toEqual([
      ["a0", a],
      ["a1", null],
      ["a2", a2],
      ["c0", c],
    ]);
  });

  test("is not created before the newest event, to the millisecond", async () => {
    const { insert, sql, names, send } = await openLog();
    await send([append("a", null, "a0")]);
    for (const batch of [[append("a", null, "a")], [append("a", null, "a"), append("b", null, "b")]]) {
      // Ahead of the clock, and between two milliseconds.
      await sql(`update ${names.events} set created = '2100-01-01 00:00:00.000300Z'`);
      const row = await insert(batch);
      expect(new Date(Number(row?.created))).toEqual(new Date("2100-01-01T00:00:00.001Z"));
      const [newest] = await sql(`select created from ${names.events} order by id desc limit 1`);
      expect(newest?.created).toEqual(new Date("2100-01-01T00:00:00.001Z"));
    }
  });

  test("is all or nothing: a trigger that leaves an event out fails the statement", async () => {
    const log = await openLog();
    const { schema, table } = log.names;
    await log.sql(`create function "${schema}"."${table}_own"() returns trigger language plpgsql as $$
      begin if new.name = 'Left out' then return null; end if; return new; end $$;
      create trigger own before insert on ${log.names.events} for each row execute function "${schema}"."${table}_own"()`);
    await expect(
      log.send([append("a", null, "a0"), append("b", null, "b0", "Left out")]),
    ).rejects.toMatchObject({
      cause: { code: "EVENTS_LEFT_OUT", message: expect.stringMatching(/nothing of it was written/) },
    });
    expect(await rows(log)).toEqual([]);
    expect(await log.send([append("a", null, "a0")])).toMatchObject([{ accepted: true, head: -1 }]);
  });
});

describe("the lock of a message that went with its connection", () => {
  const late = { code: "TOO_LATE", message: expect.stringMatching(/nothing was written; try again/) };

  test("is not taken once the message has come too late: nothing behind it runs", async () => {
    const { names, transaction, sql } = await openLog();
    const write = {
      text: `insert into ${names.events} (stream, version, name, data, meta) values ('s', 0, 'A', '{}', '{}')`,
    };
    const lock = (until: number) => lockAppendsUntil(names, 0, "token", () => until);
    await expect(transaction([lock(Date.now() - 60_000), write])).rejects.toMatchObject({ cause: late });
    expect(await sql(`select from ${names.events}`)).toHaveLength(0);
    await transaction([lock(Date.now() + 60_000), write]);
    expect(await sql(`select from ${names.events}`)).toHaveLength(1);
  });

  test("is the one that all take, and one of its own, by which a recovery can wait for it", async () => {
    const { names, transaction } = await openLog();
    const held = {
      text: `select classid::text || objid::text as key from pg_locks
        where locktype = 'advisory' and pid = pg_backend_pid()`,
    };
    const keysOf = async (lock: Query) => ((await transaction([lock, held]))[1] ?? []).map(({ key }) => key);
    const [all] = await keysOf(lockAppends(names, 0));
    const [own] = await keysOf(holdMessage("token"));
    expect(new Set(await keysOf(lockAppendsUntil(names, 0, "token", () => Date.now() + 60_000)))).toEqual(
      new Set([all, own]),
    );
    expect(own).not.toBe(all);
  });
});

type Announced = { stream: string; by: string; events: unknown[]; from?: number; to?: number };

describe("what is announced", () => {
  const announce = { announce: true };

  test("is each commit that was accepted, by itself, whole or as a range of ids", async () => {
    const log = await openLog();
    const announced = await log.announced((payload): Announced => JSON.parse(payload));
    await log.send([append("one", null, "A", "B")], announce);
    const long = "n".repeat(3_000);
    const batch = [
      append("two", null, "A", "B"),
      append("two", 7, "never"),
      append("two", null, "C"),
      append("big", null, long, long, long),
      append("two", 2, "D"),
    ];
    await log.send(batch, announce);
    await log.send([append("silent", null, "A")]);
    await log.send([append("x", null, "A"), append("y", null, "B")], announce);
    await eventually(() => announced.some(({ stream }) => stream === "y"));
    const of = (stream: string, ...events: [number, string][]) => ({
      stream,
      by: "me",
      events: events.map(([id, name]) => ({ id, name })),
    });
    expect(announced).toEqual([
      of("one", [1, "A"], [2, "B"]),
      of("two", [3, "A"], [4, "B"]),
      of("two", [5, "C"]),
      { stream: "big", by: "me", events: [], from: 6, to: 8 },
      of("two", [9, "D"]),
      of("x", [11, "A"]),
      of("y", [12, "B"]),
    ]);
  });

  test("is 7,999 bytes at most: what is longer by one is stored and not announced", async () => {
    const log = await openLog();
    const announced = await log.announced((payload) => Buffer.byteLength(payload));
    // A stream's name may be so long only if it compresses; then the range of ids alone is near the limit.
    for (let length = 7_900; length < 7_960; length++)
      expect(
        await log.send(
          [commit("s".repeat(length), { expected: null, meta: "{}", events: append("s", null, "A").events })],
          announce,
        ),
      ).toMatchObject([{ accepted: true }]);
    await log.send([append("end", null, "A")], announce);
    await eventually(() => announced.some((size) => size < 100));
    expect(Math.max(...announced)).toBe(7_999);
  });
});
