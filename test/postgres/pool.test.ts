/** The pool: a bounded number of connections, first come, first served, and none that stays for nothing. */
import { StoreError } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { ConnectionError, type PostgresStoreOptions } from "../../src/index.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { StoreConnections } from "../../src/postgres/index.ts";
import { until } from "../order/fence.ts";
import { event, failureOf, meta, useDatabase } from "./fixture.ts";
import { TcpProxy } from "./proxy.ts";

const fixture = useDatabase();

/** The layer itself. `max` counts the writer's place too, so that `max: 2` is one connection for reads. */
function connections(options: PostgresStoreOptions): StoreConnections {
  const layer = new StoreConnections(
    resolveOptions({ ...fixture.parts, application_name: fixture.application("layer"), ...options }),
  );
  onTestFinished(() => layer.close());
  return layer;
}

const read = (layer: StoreConnections, text = "select 1") => layer.read("query", { text });

test.each([1, 2, 5])("a store with max: %i never has more connections, whatever it does", async (max) => {
  const store = await fixture.seeded({ max });
  let peak = 0;
  let done = false;
  const watching = (async () => {
    while (!done) peak = Math.max(peak, (await fixture.pids(store)).length);
  })();
  const operations = Array.from({ length: 60 }, (_, n) => [
    () => store.commit(`s-${n}`, [event()], meta),
    () => store.query(() => {}),
    () => store.claim(1, 1, `w-${n}`, 10),
    () => store.subscribe([{ stream: `s-${n}`, correlated_at: n }]),
    () => store.truncate([{ stream: `s-${n % 7}` }]),
    () => store.query_stats({}, { limit: 3 }),
  ]).flat();
  const results = await Promise.allSettled(operations.map((operation) => operation()));
  done = true;
  await watching;
  expect(results.filter(({ status }) => status === "rejected")).toEqual([]);
  expect(peak).toBeGreaterThan(0);
  expect(peak).toBeLessThanOrEqual(max);
});

test("who waits for a connection gets it in the order of asking", async () => {
  const layer = connections({ max: 2 });
  const closed = await fixture.closedGate(101);
  const order: number[] = [];
  const first = read(layer, closed.text);
  await until("the only connection is busy", async () => (await fixture.lockWaiters()).length === 1);
  const others = [1, 2, 3, 4, 5].map((n) => read(layer).then(() => order.push(n)));
  expect(layer.counts).toMatchObject({ busy: 1, waiting: 5 });
  await closed.open();
  await Promise.all([first, ...others]);
  expect(order).toEqual([1, 2, 3, 4, 5]);
  expect(layer.counts).toMatchObject({ busy: 0, idle: 1, waiting: 0 });
});

test("who waits too long is told that all connections are in use, and what to do", async () => {
  const layer = connections({ max: 2, connectionTimeoutMillis: 200 });
  await read(layer);
  const closed = await fixture.closedGate(102);
  const holder = read(layer, closed.text);
  await until("the only connection is busy", async () => (await fixture.lockWaiters()).length === 1);
  const { error, millis } = await failureOf(read(layer));
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject({
    operation: "query",
    cause: {
      code: "POOL_TIMEOUT",
      sent: false,
      message: expect.stringMatching(/max|connectionTimeoutMillis/),
    },
  });
  expect(error instanceof StoreError && error.cause).toBeInstanceOf(ConnectionError);
  expect(millis).toBeGreaterThanOrEqual(190);
  expect(layer.counts.waiting).toBe(0);
  await closed.open();
  await holder;
  // Who gave up waiting took no place with him.
  await Promise.all([read(layer), read(layer), read(layer)].map((p, n) => (n === 0 ? p : p.catch(() => {}))));
  expect(layer.counts).toMatchObject({ busy: 0, idle: 1, waiting: 0 });
});

test("a connection that dies under its user leaves its place to who waits", async () => {
  const layer = connections({ max: 2, application_name: fixture.application("dies") });
  const closed = await fixture.closedGate(103);
  const victim = failureOf(layer.write("ack", { text: closed.text }));
  await until("the only connection is busy", async () => (await fixture.lockWaiters()).length === 1);
  const waiter = read(layer, "select 7 as seven");
  await fixture.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${fixture.application("dies")}`;
  expect((await victim).error).toBeInstanceOf(StoreError);
  expect(await waiter).toEqual([{ seven: 7 }]);
});

test("a connection that dies while idle is not given to anyone", async () => {
  const store = await fixture.seeded();
  await fixture.openReaders(store, 4);
  expect(await fixture.kill(store)).toBeGreaterThanOrEqual(4);
  for (const n of [1, 2, 3]) {
    expect(await store.query(() => {})).toBe(0);
    expect(await store.subscribe([{ stream: `s-${n}` }])).toMatchObject({ subscribed: 1 });
  }
});

test("a read is answered though every idle connection is dead, and nobody knows it yet", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
  await fixture.openReaders(store, 4);
  proxy.trap();
  expect(await store.query(() => {})).toBe(0);
});

test.each<[string, (admin: Admin) => Promise<unknown>]>([
  ["overview", async (admin) => ({ ...(await admin.overview()), server: "with its clock" })],
  ["leases", (admin) => admin.leases()],
  ["subscriptions", (admin) => admin.subscriptions()],
])("so is admin.%s, which sends settings before its query", async (_name, read) => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
  const admin = new Admin(store);
  const before = await read(admin);
  await fixture.openReaders(store, 4);
  proxy.trap();
  expect(await read(admin)).toEqual(before);
});

test("a write on a dead connection fails as lost, or is done; it is never done twice", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
  await store.subscribe([{ stream: "t", correlated_at: 9 }]);
  proxy.trap();
  const outcome = await store.claim(1, 0, "w", 0).then(
    (leases) => leases.length,
    (error: unknown) => error,
  );
  if (outcome !== 1)
    expect(outcome).toMatchObject({ name: "ERR_STORE", cause: { code: "CONNECTION_CLOSED" } });
  const claims = outcome === 1 ? 1 : 0;
  expect(await store.claim(1, 0, "w", 0)).toMatchObject([{ retry: claims }]);
});

test("a statement that fails leaves its connection in use for the next", async () => {
  const layer = connections({ max: 2, application_name: fixture.application("survives") });
  const [before] = await read(layer, "select pg_backend_pid() as pid");
  await failureOf(read(layer, "select 1 / 0"));
  expect(await read(layer, "select pg_backend_pid() as pid")).toEqual([before]);
});

test("a transaction that fails leaves nothing open on its connection", async () => {
  const layer = connections({ max: 2 });
  await failureOf(
    layer.transaction("truncate", [{ text: "create table t_gone ()" }, { text: "select 1 / 0" }]),
  );
  expect(
    await read(layer, "select now() = statement_timestamp() as outside, to_regclass('t_gone') as t"),
  ).toEqual([{ outside: true, t: null }]);
});

test("a session whose work fails is closed, with its transaction and its locks", async () => {
  const layer = connections({ max: 2, application_name: fixture.application("session") });
  const own = new TypeError("own");
  const work = layer.session("restore", async (run) => {
    await run({ text: "begin" });
    await run({ text: "select pg_advisory_xact_lock(104)" });
    throw own;
  });
  expect((await failureOf(work)).error).toBe(own);
  await until("the lock is free", async () => {
    const [row] = await fixture.sql`select pg_try_advisory_xact_lock(104) as free`;
    return row?.free === true;
  });
});

test("idle connections are closed after idleTimeoutMillis, the writer's too, and are kept with 0", async () => {
  const short = await fixture.seeded({ idleTimeoutMillis: 50 });
  const kept = await fixture.seeded({ idleTimeoutMillis: 0 });
  for (const store of [kept, short]) {
    await store.commit("s", [event()], meta);
    await fixture.openReaders(store, 2);
  }
  const before = await fixture.pids(kept);
  expect(before).toHaveLength(3);
  await until("the idle connections end", async () => (await fixture.pids(short)).length === 0);
  expect(await fixture.pids(kept)).toEqual(before);
  expect(await short.commit("s", [event()], meta)).toMatchObject([{ version: 1 }]);
});

test("a connection in use is not closed, however short idleTimeoutMillis is", async () => {
  const layer = connections({ max: 2, idleTimeoutMillis: 20 });
  const closed = await fixture.closedGate(105);
  // It was idle once: the time that it may stay so is running.
  await read(layer);
  const slow = read(layer, `${closed.text}, pg_sleep(0.2)`);
  await until("the connection is busy", async () => (await fixture.lockWaiters()).length === 1);
  await closed.open();
  expect(await slow).toHaveLength(1);
});

test("a statement that waits for a lock on the server does not keep other statements waiting", async () => {
  const layer = connections({ max: 4 });
  const closed = await fixture.closedGate(106);
  const stuck = read(layer, closed.text);
  await until("one connection is stuck", async () => (await fixture.lockWaiters()).length === 1);
  expect(await Promise.all([read(layer), read(layer)])).toHaveLength(2);
  await closed.open();
  await stuck;
});
