/** The append of one commit where nothing stays prepared: it does what the append of a batch does. */
import { describe, expect, test } from "vitest";
import { type Append, type AppendMode, type Outcome, readAppended } from "../../src/events/append.ts";
import { MAX_EVENTS, oneCommitQuery, oneCommitText } from "../../src/events/append-one.ts";
import type { Query } from "../../src/postgres/index.ts";
import { lockAppends } from "../../src/schema/append-lock.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { append, type Log, type Sending, useLog } from "./append-fixture.ts";

const openLog = useLog();
const fixture = useDatabase();

/** The statement of one commit, sent by hand. */
async function sendOne(log: Log, commit: Append, over: Partial<Sending> = {}): Promise<Outcome | undefined> {
  const [, insert] = log.queriesOf([commit], over);
  const sequence = Number((insert.params as readonly unknown[])[5]);
  const mode: AppendMode = { announce: false, headBy: "id", sequence, deferred: false, ...over };
  const text = oneCommitText(log.names, mode, "me", commit.events.length);
  const query: Query = oneCommitQuery(text, commit, sequence, over.latestIds ?? new Map());
  const [, rows] = await log.transaction([lockAppends(log.names, 0), query]);
  return readAppended([commit], rows?.[0]).outcomes[0];
}

const rows = ({ sql, names }: Log) =>
  sql(`select id::int, stream, version, name, data, meta, pii, dates, token, created = max(created) over () as same_time
    from ${names.events} order by id`);

const withPii = (commit: Append): Append => ({
  ...commit,
  events: commit.events.map((event, n) =>
    n === 0 ? { ...event, pii: '{"who":"Ann"}' } : { ...event, dates: '{"data":[["of"]]}' },
  ),
});

describe("one commit", () => {
  const commits: Append[] = [
    append("a", -1, "first"),
    append("a", null, "anywhere"),
    append("a", 1, "expected"),
    append("a", 0, "refused"),
    append("none", 3, "refused, too"),
    withPii(append("b", null, "with pii")),
    withPii(append("b", 0, "1", "2", "3")),
    { ...append("q", -1, "1", "2", "3", "4"), stream: "quotes ' \" \\ and {braces},NULL" },
  ];

  test("is stored and answered as by the statement of batches, with 1 to 4 events", async () => {
    const [log, other] = [await openLog(), await openLog()];
    for (const commit of commits) {
      expect(commit.events.length).toBeLessThanOrEqual(MAX_EVENTS);
      const [expected] = await other.send([commit]);
      expect([commit.stream, await sendOne(log, commit)]).toEqual([commit.stream, expected]);
    }
    const stored = (await rows(log)).map(({ same_time, ...row }) => row);
    expect(stored).toHaveLength(3 + 4 + 4);
    expect(stored).toEqual((await rows(other)).map(({ same_time, ...row }) => row));
  });

  test("has one time for all its events, and keeps its token with the first", async () => {
    const log = await openLog();
    const commit = append("a", null, "1", "2", "3");
    await sendOne(log, commit);
    expect(await rows(log)).toMatchObject([
      { token: commit.token, same_time: true },
      { token: null, same_time: true },
      { token: null, same_time: true },
    ]);
  });

  test("is announced as by the statement of batches", async () => {
    const log = await openLog();
    const heard = await log.announced((payload): unknown => JSON.parse(payload));
    await sendOne(log, append("a", null, "1", "2"), { announce: true });
    await sendOne(log, append("a", 7, "refused"), { announce: true });
    await sendOne(log, append("b", null, "3"), { announce: true });
    await eventually(() => heard.length >= 2);
    expect(heard).toEqual([
      {
        stream: "a",
        by: "me",
        events: [
          { id: 1, name: "1" },
          { id: 2, name: "2" },
        ],
      },
      { stream: "b", by: "me", events: [{ id: 3, name: "3" }] },
    ]);
  });

  test("finds the head by version, too, and limits the statements of inline projections", async () => {
    const log = await openLog();
    await log.sql(`insert into ${log.names.events} (stream, version, name, data, meta)
      select 's', v, 'A', '{}', '{}' from unnest(array[0, 2, 1]) with ordinality as t(v, n) order by n`);
    expect(await sendOne(log, append("s", 2, "next"), { headBy: "version", limit: 5_000 })).toMatchObject({
      accepted: true,
      head: 2,
    });
  });
});

test("a store that prepares nothing uses it for a commit alone, and a trigger that leaves out its event fails it", async () => {
  const store = await fixture.seeded({ prepare: false });
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`create table "${schema}".texts (text text);
    create function "${schema}".note() returns trigger language plpgsql as $$ begin
      insert into "${schema}".texts values (current_query());
      if new.name = 'Left out' then return null; end if; return new; end $$;
    create trigger own before insert on "${schema}"."${table}" for each row execute function "${schema}".note()`);
  const meta = { correlation: "", causation: {} };
  const commit = (...names: string[]) =>
    store.commit(
      "s",
      names.map((name) => ({ name, data: {} })),
      meta,
    );
  await commit("A");
  await commit("A", "B");
  await commit("A", "B", "C", "D", "E");
  await expect(commit("Left out")).rejects.toMatchObject({ cause: { code: "EVENTS_LEFT_OUT" } });
  await expect(commit("A", "Left out")).rejects.toMatchObject({ cause: { code: "EVENTS_LEFT_OUT" } });
  const texts = await fixture.sql.unsafe(
    `select text like '%unnest($1::text[]%' as of_batches from "${schema}".texts`,
  );
  // Those of the two that failed were rolled back.
  expect(texts.map(({ of_batches }) => of_batches)).toEqual([
    ...Array(3).fill(false),
    ...Array(5).fill(true),
  ]);
  expect((await fixture.rows(store)).map(({ version }) => version)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});
