/** store.health(): what a probe is told, whatever is wrong. */
import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { deadPort } from "../postgres/proxy.ts";
import { blockMailer, withBacklog } from "./fixture.ts";

const fixture = useDatabase();

test("a store that works is ok, and tells how fast the database answered", async () => {
  const store = await fixture.seeded();
  const health = await store.health();
  expect(health).toMatchObject({ ok: true, problems: [], listener: "off", deep: undefined });
  expect(health.latencyMs).toBeGreaterThan(0);
  expect(health.pool).toMatchObject({ busy: 0, waiting: 0, max: 19 });
});

test("the append lock, blocked work and the oldest lag come on demand", async () => {
  const store = await withBacklog(fixture);
  await blockMailer(store);
  const lock = await fixture.hold(store);
  const waiting = store.commit("s", [{ name: "Late", data: {} }], { correlation: "c", causation: {} });
  await expect.poll(() => fixture.lockWaiters()).toHaveLength(1);
  const { ok, deep } = await store.health({ deep: true });
  expect(ok).toBe(true);
  expect(deep).toMatchObject({ appendLock: { waiting: 1 }, blocked: { count: 1, exact: true } });
  expect(deep?.appendLock.heldMs).toBeGreaterThan(0);
  expect(deep?.oldestLagMs).toBeGreaterThan(0);
  await lock.release();
  await waiting;
});

test("what comes on demand may fail or be late: a store that works is ok", async () => {
  const store = await withBacklog(fixture);
  const locked = await fixture.sql.reserve();
  const unlock = async () => {
    await locked.unsafe("rollback");
    locked.release();
  };
  onTestFinished(unlock);
  await locked.unsafe(`begin; lock table ${store.config.table}_streams in access exclusive mode`);
  const started = performance.now();
  expect(await store.health({ deep: true, timeoutMs: 1_000 })).toMatchObject({
    ...{ ok: true, problems: [], deep: undefined },
  });
  expect(performance.now() - started).toBeLessThan(5_000);
});

test("tables that are not there are named", async () => {
  const store = fixture.store();
  expect(await store.health()).toMatchObject({
    ok: false,
    problems: ["the store's tables are missing: call seed() first"],
  });
});

test("read-only transactions are named", async () => {
  const store = await fixture.seeded();
  const reading = fixture.store({
    table: store.config.table,
    options: "-c default_transaction_read_only=on",
  });
  const { ok, problems } = await reading.health();
  expect([ok, problems]).toEqual([false, [expect.stringContaining("read-only")]]);
});

test("a role that may not write is named", async (context) => {
  const store = await fixture.seeded();
  const role = await fixture.role();
  if (!role) return context.skip("the server's user may make no roles");
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`grant usage on schema "${schema}" to ${role.user}`);
  await fixture.sql.unsafe(`grant select on all tables in schema "${schema}" to ${role.user}`);
  const weak = fixture.store({ ...role, table });
  const { ok, problems } = await weak.health();
  expect([ok, problems]).toEqual([false, [expect.stringContaining("may not write")]]);
});

test("a server that is not there is told by its code, and no address is shown", async () => {
  const port = await deadPort();
  const store = new PostgresStore({ host: "127.0.0.1", port, password: "top-secret" });
  onTestFinished(() => store.dispose());
  const { ok, problems, latencyMs } = await store.health();
  expect([ok, latencyMs]).toEqual([false, undefined]);
  expect(problems).toEqual([expect.stringContaining("ECONNREFUSED")]);
  expect(problems.join()).not.toMatch(/127\.0\.0\.1|top-secret/);
});

test("a server that says nothing is given up after the limit", async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void silent.close());
  const address = silent.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port");
  const store = new PostgresStore({
    host: "127.0.0.1",
    port: address.port,
    ssl: false,
    connectionTimeoutMillis: 1_000,
  });
  onTestFinished(() => store.dispose());
  const { ok, problems } = await store.health({ timeoutMs: 100 });
  expect([ok, problems]).toEqual([false, ["the database did not answer within 100 ms"]]);
});

test("without a time limit it waits for the answer", async () => {
  const store = await fixture.seeded();
  expect(await store.health({ timeoutMs: Number.POSITIVE_INFINITY })).toMatchObject({
    ok: true,
    problems: [],
  });
});

test("a disposed store is not ok", async () => {
  const store = await fixture.seeded();
  await store.dispose();
  expect((await store.health()).ok).toBe(false);
});

test("says whether notifications are listened to", async () => {
  const store = await fixture.seeded({ notify: true });
  const stop = await store.notify?.(() => {});
  expect((await store.health()).listener).toBe("listening");
  await stop?.();
  expect((await store.health()).listener).toBe("off");
});
