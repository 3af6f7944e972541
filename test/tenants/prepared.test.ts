/** Connections that many schemas share keep a limited number of statements prepared. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";
import { Tenants } from "./fixture.ts";

const fixture = useDatabase();
const tenants = new Tenants(fixture);

/** What each connection of the pools has prepared, as they say themselves. */
async function preparedOn(store: PostgresStore, connections: number): Promise<number[]> {
  const { CONTEXT } = await import("../../src/context.ts");
  const context = Reflect.get(store, CONTEXT);
  const closed = await fixture.closedGate(79);
  const text = `${closed.text}, (select count(*)::int from pg_prepared_statements) as n`;
  const read = (pool: { use(work: unknown): Promise<unknown> }) =>
    pool.use(async (connection: { run(query: object, deadline: number): Promise<{ n: number }[]> }) => {
      const [row] = await connection.run({ text }, 0);
      return row?.n;
    });
  const writers = Array.from({ length: connections }, () => read(context.connections.writer));
  const readers = Array.from({ length: connections }, () => context.connections.read("test", { text }));
  await until("each has a connection of its own", async () => (await closed.waiting()) === 2 * connections);
  await closed.open();
  const asked = await Promise.all(readers);
  return [...(await Promise.all(writers)), ...asked.map(([row]) => row.n)].map(Number);
}

test("no more than maxPrepared, whatever many tenants do, and every answer is right", async () => {
  const maxPrepared = 10;
  const database = tenants.database({ max: 4, maxPrepared });
  const stores = await tenants.stores(database, 12);
  for (let round = 0; round < 3; round++)
    await Promise.all(
      stores.map(async (store, tenant) => {
        const [committed] = await store.commit("s", [event("E", { tenant, round })], meta);
        expect(committed).toMatchObject({ version: round });
        await store.subscribe([{ stream: "r", correlated_at: round + 1 }]);
        const leases = await store.claim(1, 1, "w", 10_000);
        expect(leases).toHaveLength(1);
        await store.ack(leases.map((lease) => ({ ...lease, at: round + 1 })));
        const seen: unknown[] = [];
        await store.query(({ data }) => void seen.push(data), { stream: "s", stream_exact: true });
        expect(seen).toEqual(Array.from({ length: round + 1 }, (_, n) => ({ tenant, round: n })));
      }),
    );
  const [first] = stores;
  if (!first) throw new Error("there are some");
  const counts = await preparedOn(first, 2);
  expect(Math.max(...counts)).toBeGreaterThan(0);
  expect(Math.max(...counts)).toBeLessThanOrEqual(maxPrepared);
});

test("a connection is closed once it has served more than maxStores stores, and no call notices", async () => {
  const database = tenants.database({ max: 2, writers: 1, maxStores: 4 });
  const stores = await tenants.stores(database, 12);
  const pids = new Set<number>();
  for (const store of stores) {
    await store.commit("s", [event()], meta);
    expect(await store.query(() => {}, { stream: "s", stream_exact: true })).toBe(1);
    for (const { pid } of await tenants.connections(database)) pids.add(pid);
  }
  // Twelve stores on each of two pools, four at a time.
  expect(pids.size).toBeGreaterThanOrEqual(5);
});

test("a schema that was dropped and made anew is worked with on the same connections", async () => {
  const database = tenants.database({ max: 2 });
  const store = await tenants.store(database);
  await store.commit("s", [event()], meta);
  await store.query(() => {}, { stream: "s", stream_exact: true });
  await fixture.sql.unsafe(`drop schema ${store.config.schema} cascade`);
  await store.seed();
  const [committed] = await store.commit("s", [event("Anew")], meta);
  expect(committed).toMatchObject({ id: 1, version: 0 });
  const names: string[] = [];
  await store.query(({ name }) => void names.push(name), { stream: "s", stream_exact: true });
  expect(names).toEqual(["Anew"]);
});

test("large events are read page by page, within the budget of a read", async () => {
  const database = tenants.database({ max: 2 });
  const store = await tenants.store(database);
  const data = { text: "x".repeat(600_000) };
  for (let n = 0; n < 60; n++) await store.commit("large", [event("Large", { ...data, n })], meta);
  const seen: unknown[] = [];
  const found = await store.query((row) => void seen.push(Reflect.get(row.data, "n")), {
    stream: "large",
    stream_exact: true,
  });
  expect(found).toBe(60);
  expect(seen).toEqual(Array.from({ length: 60 }, (_, n) => n));
});
