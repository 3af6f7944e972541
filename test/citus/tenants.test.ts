/** Tenants whose schemas Citus spreads over the workers: each lives whole on one of them, and none sees another. */
import { describe, expect, test } from "vitest";
import { PostgresDatabase, PostgresStore, seedAll } from "../../src/index.ts";
import { titled } from "../faults/failover/programs.ts";
import { reason, tenantUrl } from "./cluster.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();

describe.skipIf(reason !== "")(titled("tenants on Citus", reason), () => {
  cluster.open();

  test("are on both workers, on connections that they share, and see their own events only", async () => {
    const database = new PostgresDatabase({ url: tenantUrl(), max: 6 });
    try {
      const stores = Array.from(
        { length: 4 },
        () => new PostgresStore({ database, schema: cluster.schema() }),
      );
      await seedAll(stores);
      const ports = await Promise.all(stores.map(async (store) => (await cluster.nodeOf(store)).port));
      expect(new Set(ports).size).toBe(2);
      await Promise.all(
        stores.flatMap((store, tenant) =>
          ["a", "b", "a"].map((stream) => store.commit(stream, [{ name: "Of", data: { tenant } }], meta)),
        ),
      );
      for (const [tenant, store] of stores.entries()) {
        const ids: number[] = [];
        await store.query(({ id, data }) => {
          expect(data).toEqual({ tenant });
          ids.push(id);
        });
        expect(ids).toEqual([1, 2, 3]);
      }
    } finally {
      await database.dispose();
    }
  });

  test("have all their tables on one worker", async () => {
    const store = await cluster.tenant();
    const rows = await cluster.sql`
      select distinct nodeport from citus_shards where table_name::text like ${`${store.config.schema}.%`}`;
    expect(rows).toHaveLength(1);
  });

  test("are refused on a worker, which would number events from a range of its own", async () => {
    const store = await cluster.tenant();
    const url = new URL(tenantUrl());
    const { host, port } = await cluster.nodeOf(store);
    url.host = `${host}:${port}`;
    const there = cluster.store({ url: url.href, schema: store.config.schema });
    await expect(there.commit("s", [{ name: "A", data: {} }], meta)).rejects.toMatchObject({
      cause: { code: "CITUS_WORKER" },
    });
    await expect(there.seed()).rejects.toThrow("connect to the coordinator");
  });

  test("work in a schema that is not distributed, beside those that are", async () => {
    const url = new URL(tenantUrl());
    url.search = "";
    const store = await cluster.tenant({ url: url.href });
    await expect(cluster.nodeOf(store)).rejects.toThrow("not distributed");
    await store.commit("s", [{ name: "A", data: {} }], meta);
    await store.subscribe([{ stream: "r", correlated_at: 1 }], 1, { key: "k", by: "me", millis: 1_000 });
    expect(await store.claim(1, 0, "w", 1_000)).toHaveLength(1);
    await store.truncate([{ stream: "s" }]);
    expect(await store.query(() => {}, {})).toBe(1);
  });

  test("go on where they were when their schema is distributed later, while they are used", async () => {
    const url = new URL(tenantUrl());
    url.search = "";
    const store = await cluster.tenant({ url: url.href });
    const { schema } = store.config;
    const before = await store.commit(
      "s",
      [
        { name: "A", data: {} },
        { name: "B", data: {} },
      ],
      meta,
    );
    await cluster.sql`select citus_schema_distribute(${schema}::regnamespace)`;
    const [after] = await store.commit("s", [{ name: "C", data: {} }], meta, 1);
    expect(after?.id).toBeGreaterThan(before.at(-1)?.id ?? 0);
    await store.seed();
    expect(await store.query(() => {}, {})).toBe(3);
    expect((await cluster.workers()).map(({ port }) => port)).toContain((await cluster.nodeOf(store)).port);
  });

  test("a commit of one store wakes another, by way of the coordinator", async () => {
    const store = await cluster.tenant({ notify: true });
    const other = cluster.store({ schema: store.config.schema, notify: true });
    const received = Promise.withResolvers<unknown>();
    await other.notify?.(received.resolve);
    const committed = await store.commit("s", [{ name: "A", data: {} }], meta);
    expect(await received.promise).toMatchObject({
      stream: "s",
      events: committed.map(({ id, name }) => ({ id, name })),
    });
  });
});
