/**
 * Every verb that waits for rows locks them in order of their names: while one is held, those before it are
 * locked and those behind it are not. Verbs that do so cannot deadlock with one another.
 *
 * An UPDATE that joins locks in the order of its plan. That is the order of names too while it looks up one row
 * after the other, and the table's own order once it hashes. So each verb is asked under both.
 */
import type { Lease } from "@rotorsoft/act";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { within } from "../conformance/kit/eventually.ts";
import { rowWaiters } from "../conformance/kit/postgres.ts";
import { claimAll, restorable, restore } from "../conformance/kit/scenario.ts";
import { until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useDatabase();
const NAMES = ["e", "d", "c", "b", "a"];

/** Subscriptions that lie in the table in the opposite of their order, all leased. */
async function arranged(): Promise<{ store: PostgresStore; leases: Lease[] }> {
  const store = await fixture.seeded();
  for (const stream of NAMES) await store.subscribe([{ stream, correlated_at: 1_000 }]);
  for (const key of NAMES) await store.subscribe([], 1, { key, by: "w", millis: 60_000 });
  const leases = await claimAll(store, "w");
  return { store, leases: NAMES.flatMap((name) => leases.filter(({ stream }) => stream === name)) };
}

/** The rows that are locked while `call` waits for the row "c". */
async function lockedBy(
  store: PostgresStore,
  [suffix, key]: readonly [string, string],
  call: () => Promise<unknown>,
) {
  const table = `"${store.config.schema}"."${store.config.table}_${suffix}"`;
  const holder = connect(fixture.url);
  onTestFinished(() => holder.end());
  await holder.unsafe(`begin; select from ${table} where ${key} = 'c' for update`);
  const calling = call();
  await rowWaiters({ sql: fixture.sql, name: table });
  const free = await fixture.sql.unsafe(
    `select ${key} as name from ${table} order by 1 for update skip locked`,
  );
  await holder.unsafe("rollback");
  await within(10_000, "the verb", calling);
  return ["", "a", "b", "c", "d", "e"].filter((name) => !free.some((row) => row.name === name));
}

const streams = ["streams", "stream"] as const;

async function currentDatabase(): Promise<string> {
  const [row] = await fixture.sql<{ name: string }[]>`select current_database() as name`;
  return row?.name ?? "";
}

describe.each([
  ["one row after the other", ["hashjoin", "mergejoin"]],
  ["by hashing", ["nestloop", "mergejoin"]],
])("where PostgreSQL joins %s,", (_, avoided) => {
  beforeAll(async () => {
    // For the connections that are opened from now on; any role may do that for itself.
    const own = `alter role current_user in database "${await currentDatabase()}"`;
    for (const join of avoided) await fixture.sql.unsafe(`${own} set enable_${join} = off`);
    return async () => void (await fixture.sql.unsafe(`${own} reset all`));
  });

  test.each<[string, (store: PostgresStore, leases: Lease[]) => Promise<unknown>]>([
    ["ack", (store, leases) => store.ack(leases)],
    ["block", (store, leases) => store.block(leases.map((lease) => ({ ...lease, error: "e" })))],
    ["defer", (store) => store.defer(NAMES, 1)],
    ["reset", (store) => store.reset({})],
    ["prioritize", (store) => store.prioritize({}, 3)],
    ["subscribe", (store) => store.subscribe(NAMES.map((stream) => ({ stream, priority: 9 })))],
    ["restore", (store) => restore(store, [restorable("s", 0)])],
  ])("%s locks subscriptions in order of their names", async (_, call) => {
    const { store, leases } = await arranged();
    // The row "" is none of these.
    expect(await lockedBy(store, streams, () => call(store, leases))).toEqual(["", "a", "b", "c"]);
  });

  test("unblock locks in that order too", async () => {
    const { store, leases } = await arranged();
    await store.block(leases.map((lease) => ({ ...lease, error: "e" })));
    expect(await lockedBy(store, streams, () => store.unblock(NAMES))).toEqual(["", "a", "b", "c"]);
  });
});

test("restore waits for a writer of a checkpoint before it locks any subscription", async () => {
  const { store } = await arranged();
  const { schema, table } = store.config;
  const holder = connect(fixture.url);
  onTestFinished(() => holder.end());
  await holder.unsafe(`begin; select from "${schema}"."${table}_correlated" where key = 'c' for update`);
  const calling = restore(store, [restorable("s", 0)]);
  await until("restore waits for the table", async () => {
    const waiting = await fixture.sql`select from pg_locks where not granted and mode = 'ExclusiveLock'
      and relation = ${`"${schema}"."${table}_correlated"`}::text::regclass`;
    return waiting.length > 0;
  });
  const all = await fixture.sql.unsafe(`select from "${schema}"."${table}_streams"`);
  const free = await fixture.sql.unsafe(`select from "${schema}"."${table}_streams" for update skip locked`);
  expect(free.length).toBe(all.length);
  await holder.unsafe("rollback");
  await within(10_000, "restore", calling);
});

test("an ack locks only rows that its holder has leased", async () => {
  const { store, leases } = await arranged();
  const foreign = leases.map((lease) => (lease.stream < "c" ? { ...lease, by: "another" } : lease));
  expect(await lockedBy(store, streams, () => store.ack(foreign))).toEqual(["", "c"]);
});

test("a block locks only rows that are not blocked yet", async () => {
  const { store, leases } = await arranged();
  const all = leases.map((lease) => ({ ...lease, error: "e" }));
  await store.block(all.filter(({ stream }) => stream < "c"));
  expect(await lockedBy(store, streams, () => store.block(all))).toEqual(["", "c"]);
});
