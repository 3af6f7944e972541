/** Nothing of one tenant reaches another, though they use the same connections, in turn, with streams of the same names. */
import { expect, test } from "vitest";
import { eventually } from "../conformance/kit/eventually.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";
import { Tenants } from "./fixture.ts";

const fixture = useDatabase();
const tenants = new Tenants(fixture);

test("events, subscriptions, statistics and leases are each tenant's own", async () => {
  const database = tenants.database({ max: 4, maxPrepared: 8 });
  const stores = await tenants.stores(database, 6);
  const rounds = 10;
  await Promise.all(
    stores.flatMap((store, tenant) =>
      Array.from({ length: rounds }, (_, n) =>
        store.commit(`s${n % 2}`, [event(`Of${tenant}`, { tenant })], meta),
      ),
    ),
  );
  await Promise.all(
    stores.map((store, tenant) => store.subscribe([{ stream: `reader-${tenant}`, correlated_at: rounds }])),
  );
  await Promise.all(
    stores.map(async (store, tenant) => {
      const names = new Set<unknown>();
      const note = ({ name, data }: { readonly name: unknown; readonly data: unknown }) => {
        names.add(name);
        expect(data).toEqual({ tenant });
      };
      expect(await store.query(note)).toBe(rounds);
      expect([...names]).toEqual([`Of${tenant}`]);
      const stats = await store.query_stats({}, { count: true, names: true });
      expect([...stats.values()].map(({ count }) => count)).toEqual([5, 5]);
      const leases = await store.claim(10, 10, `worker-${tenant}`, 10_000);
      expect(leases.map(({ stream }) => stream)).toEqual([`reader-${tenant}`]);
      expect(await store.ack(leases.map((lease) => ({ ...lease, at: rounds })))).toHaveLength(1);
    }),
  );
});

test("a lease of one tenant is not another's to give back", async () => {
  const database = tenants.database();
  const [one, two] = await tenants.stores(database, 2);
  if (!one || !two) throw new Error("there are two");
  for (const store of [one, two]) await store.subscribe([{ stream: "reader", correlated_at: 1 }]);
  const leases = await one.claim(1, 0, "worker", 10_000);
  expect(await two.ack(leases.map((lease) => ({ ...lease, at: 1 })))).toEqual([]);
  expect(await two.claim(1, 0, "other", 10_000)).toHaveLength(1);
  expect(await one.ack(leases.map((lease) => ({ ...lease, at: 1 })))).toHaveLength(1);
});

test("a notification reaches the listeners of its own tenant, through one connection for all", async () => {
  const database = tenants.database();
  const stores = await tenants.stores(database, 5, { notify: true });
  const elsewhere = tenants.database();
  const received = new Map<string, unknown[]>();
  for (const store of stores) {
    const own: unknown[] = [];
    received.set(store.config.schema, own);
    await store.notify?.(({ events }) => own.push(...events.map(({ name }) => name)));
  }
  expect(await tenants.listening(database)).toHaveLength(1);
  const { PostgresStore } = await import("../../src/index.ts");
  const writers = stores.map(
    ({ config }) => new PostgresStore({ database: elsewhere, schema: config.schema, notify: true }),
  );
  await Promise.all(writers.map((store) => store.commit("s", [event(`Of_${store.config.schema}`)], meta)));
  await eventually(() => [...received.values()].every((names) => names.length > 0));
  for (const [schema, names] of received) expect(names).toEqual([`Of_${schema}`]);
});
