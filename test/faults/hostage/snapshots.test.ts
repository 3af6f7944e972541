/**
 * An old snapshot keeps what was deleted: the server can't remove it, nor its entries in the indexes. A commit finds
 * the head of its stream, and the newest event, without walking over them.
 */
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { openTransaction } from "../../order/fence.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { median } from "./bystander.ts";

const fixture = useDatabase();
const EVENTS = scale(60_000, 300_000);
const COMMITS = 31;
/** A commit may take so many times what it took before, */
const TIMES = 3;
/** and this much more: it takes less than a millisecond. */
const SLACK = 0.5;

/** A store whose stream `long` has so many events, and `other` one. */
async function filled(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await store.commit("other", [event()], meta);
  await fixture.sql.unsafe(`
    insert into "${schema}"."${table}" (name, data, stream, version, meta)
    select 'Old', '{}', 'long', n, '{"correlation": "", "causation": {}}' from generate_series(0, ${EVENTS - 1}) n`);
  await fixture.sql.unsafe(`vacuum analyze "${schema}"."${table}"`);
  return store;
}

/** From now on nothing that is there is ever removed. */
async function oldSnapshot({ config: { schema, table } }: PostgresStore): Promise<void> {
  const held = await openTransaction(fixture.url);
  onTestFinished(() => held.rollback());
  await held.sql`set transaction isolation level repeatable read`;
  await held.sql`select count(*) from ${held.sql(schema)}.${held.sql(table)}`;
}

/** ms that commits to these streams take, called at once. */
async function medianOf(store: PostgresStore, streams: readonly string[]): Promise<number> {
  const took: number[] = [];
  for (let n = 0; n < COMMITS; n++) {
    const start = performance.now();
    await Promise.all(streams.map((stream) => store.commit(stream, [event()], meta)));
    took.push(performance.now() - start);
  }
  return median(took);
}

const DELETIONS = [
  {
    what: "a truncate of a long stream",
    remove: (store: PostgresStore) => store.truncate([{ stream: "long" }]),
  },
  {
    what: "a restore of a long log to a short one",
    remove: (store: PostgresStore) =>
      store.restore(async (insert) => {
        const restored = { ...event(), id: 0, version: 0, created: new Date(0), meta };
        for (const stream of ["long", "other"]) await insert({ ...restored, stream });
      }),
  },
];
const COMMITTED = [
  { which: "to that stream", streams: ["long"] },
  { which: "to another stream", streams: ["other"] },
  { which: "to a new stream", streams: ["new"] },
  { which: "to several streams at once", streams: ["long", "other", "new", "a", "b", "c"] },
  { which: "to that stream, four at once", streams: ["long", "long", "long", "long"] },
];

for (const { what, remove } of DELETIONS)
  test(`after ${what} under an old snapshot commits take as long as before`, {
    timeout: TIMEOUT,
  }, async () => {
    const store = await filled();
    await oldSnapshot(store);
    await medianOf(store, ["other"]);
    const before: number[] = [];
    for (const { streams } of COMMITTED) before.push(await medianOf(store, streams));
    await remove(store);
    const slow: string[] = [];
    for (const [k, { which, streams }] of COMMITTED.entries()) {
      const [then = 0, now] = [before[k], await medianOf(store, streams)];
      const told = `${which}: ${now.toFixed(2)} ms instead of ${then.toFixed(2)}`;
      console.log(`after ${what}, ${told}`);
      if (now > TIMES * then + SLACK) slow.push(told);
    }
    expect(slow).toEqual([]);
  });
