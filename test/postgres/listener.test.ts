/** LISTEN comes back by itself, catches up with what it has missed, and is gone with its store. */
import { expect, onTestFinished, test, vi } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore, PostgresStoreOptions } from "../../src/index.ts";
import type { Config } from "../../src/options/config.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { Listener } from "../../src/postgres/listener.ts";
import { until } from "../order/fence.ts";
import { event, failureOf, meta, useServer } from "./fixture.ts";
import { TcpProxy } from "./proxy.ts";

const own = useServer();
const { fixture } = own;
let tables = 0;

/** A store that listens, through a proxy that can be cut, and another that commits. */
async function pair(options: PostgresStoreOptions = {}) {
  const table = `n${tables++}`;
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const listening = { ...fixture.parts, host: "127.0.0.1", port: proxy.port, notify: true };
  const store = await fixture.seeded({
    ...listening,
    table,
    application_name: fixture.application(`${table}_ear`),
    ...options,
  });
  const other = await fixture.seeded({
    table,
    application_name: fixture.application(`${table}_mouth`),
    notify: true,
  });
  const received: string[] = [];
  const dispose = await store.notify?.(({ events }) => received.push(...events.map(({ name }) => name)));
  if (!dispose) throw new Error("notify is on");
  return { store, other, received, proxy, dispose };
}

test("a listener that was stopped is forgotten by its store", async () => {
  const store = await fixture.seeded({ notify: true });
  const admin = new Admin(store);
  for (let n = 0; n < 5; n++) await (await admin.watch(() => {}))?.stop();
  const watch = await admin.watch(() => {});
  onTestFinished(() => watch?.stop());
  const told = vi.spyOn(Listener.prototype, "reconnectSoon");
  onTestFinished(() => told.mockRestore());
  await fixture.kill(store);
  // A new connection tells every listener of the store.
  await store.query(() => {});
  expect(new Set(told.mock.contexts).size).toBe(1);
});

const say = (store: PostgresStore, ...names: string[]) =>
  store.commit(
    "s",
    names.map((name) => event(name)),
    meta,
  );

const untilReceived = (received: string[], name: string) =>
  until(`${name} is received`, async () => received.includes(name), 20_000);

test("a listener whose backend is killed hears what was committed while it was away, once, in order", async () => {
  const { store, other, received } = await pair();
  await say(other, "Before");
  await untilReceived(received, "Before");
  for (const round of [1, 2, 3]) {
    expect(await fixture.kill(store)).toBeGreaterThan(0);
    await say(other, `Away${round}`, `Again${round}`);
    await untilReceived(received, `Again${round}`);
  }
  expect(received).toEqual(["Before", "Away1", "Again1", "Away2", "Again2", "Away3", "Again3"]);
});

test("what a store commits itself while its listener is away is not told to it, however late it learns of it", async () => {
  const { store, other, received, proxy } = await pair();
  await say(store, "Ready");
  await say(other, "Before");
  await untilReceived(received, "Before");
  const listening = () => fixture.sql`select from pg_stat_activity
    where application_name = ${store.config.application_name} and query ilike 'listen%' and state = 'idle'`;
  proxy.mode = "refuse";
  await fixture.sql`select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = ${store.config.application_name} and query ilike 'listen%'`;
  await until("LISTEN has ended", async () => (await listening()).length === 0);
  // The commit lands, and its answer is under way while the listener comes back.
  proxy.holdAnswersTo("Own");
  const own = say(store, "Own");
  await until("it has landed", async () => (await fixture.rows(other)).some(({ name }) => name === "Own"));
  proxy.mode = "forward";
  await until("the server has taken LISTEN", async () => (await listening()).length === 1);
  await say(other, "Foreign");
  await untilReceived(received, "Foreign");
  proxy.deliver();
  await own;
  await say(other, "Last");
  await untilReceived(received, "Last");
  expect(received).toEqual(["Before", "Foreign", "Last"]);
});

test("a listener that is turned away tries again at growing intervals", async () => {
  const { other, received, proxy } = await pair();
  await say(other, "Before");
  await untilReceived(received, "Before");
  proxy.mode = "refuse";
  const first = proxy.arrivals.length;
  const cut = performance.now();
  proxy.cut();
  // A try may take more than one connection: those of one try come together.
  const tries = () => {
    const times = [cut, ...proxy.arrivals.slice(first)];
    return times.filter((time, k) => k === 0 || time - (times[k - 1] ?? 0) > 100);
  };
  await until("three tries", async () => tries().length === 4, 20_000);
  const gaps = tries().map((time, k, all) => time - (all[k - 1] ?? time));
  // 250 ms, doubled each time, less a quarter of chance; the machine may only make it longer.
  [250, 500, 1_000].forEach((delay, k) => {
    expect(gaps[k + 1], `gap ${k + 1} of ${gaps}`).toBeGreaterThan(delay * 0.7);
  });
  proxy.mode = "forward";
  await say(other, "Missed");
  await untilReceived(received, "Missed");
});

test("the intervals at which a listener tries again stop growing at 30 s", async () => {
  const options = { application_name: fixture.application("patient") };
  const store = fixture.store(options);
  const { secrets } = resolveOptions({ ...fixture.parts, ...options });
  const tries: number[] = [];
  let gone = false;
  // Without a host an attempt fails before it has a socket, which would not keep to the time of the test.
  const hosts = () => {
    if (gone && tries.at(-1) !== Date.now()) tries.push(Date.now());
    return gone ? [] : store.config.hosts;
  };
  const config: Config = Object.create(store.config, { hosts: { get: hosts } });
  let cut = 0;
  const away = Promise.withResolvers<void>();
  // From here on time stands still. Not before: the driver hears of the loss with the help of a timer.
  const lost = () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    cut = Date.now();
    gone = true;
    away.resolve();
  };
  const listener = new Listener({
    config,
    secrets,
    channel: "patient",
    onPayload: () => {},
    onReconnected: () => {},
    onLost: lost,
  });
  onTestFinished(() => listener.stop());
  onTestFinished(() => void vi.useRealTimers());
  await listener.start();
  await fixture.kill(store);
  await away.promise;
  await vi.advanceTimersByTimeAsync(180_000);
  const gaps = tries.map((time, k) => time - (tries[k - 1] ?? cut));
  const delays = gaps.map((_, k) => Math.min(250 * 2 ** k, 30_000));
  // Each less a quarter of chance, in whole milliseconds.
  for (const [k, delay] of delays.entries()) {
    expect(gaps[k], `gap ${k} of ${gaps}`).toBeGreaterThanOrEqual(Math.floor(delay * 0.75));
    expect(gaps[k], `gap ${k} of ${gaps}`).toBeLessThanOrEqual(delay);
  }
  expect(delays.filter((delay) => delay === 30_000).length).toBeGreaterThan(3);
});

test("what was missed is heard even when the first news comes together with the answer to LISTEN", async () => {
  const { store, other, received, proxy } = await pair();
  await say(other, "Before");
  await untilReceived(received, "Before");
  const listening = () => fixture.sql`select from pg_stat_activity
    where application_name = ${store.config.application_name} and query ilike 'listen%' and state = 'idle'`;
  proxy.mode = "refuse";
  proxy.cut();
  await until("LISTEN has ended", async () => (await listening()).length === 0);
  await say(other, "Missed");
  proxy.holdAnswersTo("listen");
  proxy.mode = "forward";
  await until("the server has taken LISTEN", async () => (await listening()).length === 1);
  await say(other, "Live");
  await until("the news is held back with the answer", async () => proxy.holds("Live"));
  proxy.deliver();
  await untilReceived(received, "Live");
  await untilReceived(received, "Missed");
});

test("what was missed is heard even when every connection that the store had is dead", async () => {
  const { store, other, received, proxy } = await pair({ max: 6 });
  await say(other, "Before");
  await untilReceived(received, "Before");
  await Promise.all([1, 2, 3, 4, 5].map(() => store.query(() => {})));
  const listening = () => fixture.sql`select from pg_stat_activity
    where application_name = ${store.config.application_name} and query ilike 'listen%'`;
  proxy.trap();
  await fixture.sql`select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = ${store.config.application_name} and query ilike 'listen%'`;
  await until("LISTEN has ended", async () => (await listening()).length === 0);
  await say(other, "Missed");
  await untilReceived(received, "Missed");
});

test("a listener that waits long does so no longer once the store has another new connection", async () => {
  const { store, other, received, proxy } = await pair();
  await say(other, "Before");
  await untilReceived(received, "Before");
  proxy.mode = "refuse";
  proxy.cut();
  const refused = proxy.arrivals.length;
  // After 0.25, 0.5, 1 and 2 s, or a quarter less; the next attempt would be 3 s away or more.
  await until("it was refused four times", async () => proxy.arrivals.length >= refused + 4);
  proxy.mode = "forward";
  const start = performance.now();
  await store.query(() => {}, { limit: 1 });
  await until("the listener is back", async () => {
    await say(other, "After");
    return received.includes("After");
  });
  expect(performance.now() - start).toBeLessThan(2_800);
});

test.each(["fast", "kill"] as const)("a listener survives a restart of the server (%s)", async (mode) => {
  const { store, other, received } = await pair();
  await say(other, "Before");
  await untilReceived(received, "Before");
  await own.server.restart?.(mode);
  const said: string[] = [];
  await until("the listener is back", async () => {
    const name = `After${said.length}`;
    await say(other, name).then(
      () => said.push(name),
      () => {},
    );
    return said.some((one) => received.includes(one));
  });
  for (const name of said) await untilReceived(received, name);
  expect(await say(store, "Own")).toHaveLength(1);
});

test("a listener that cannot start rejects with a StoreError, and leaves no connection and no retry", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const options = { host: "127.0.0.1", port: proxy.port, notify: true, connectionTimeoutMillis: 400 };
  for (const mode of ["refuse", "silent"] as const) {
    const store = fixture.store(options);
    proxy.mode = mode;
    const { error, millis } = await failureOf(Promise.resolve(store.notify?.(() => {})));
    expect(error, mode).toMatchObject({
      name: "ERR_STORE",
      operation: "notify",
      cause: { name: "ConnectionError" },
    });
    expect(millis, mode).toBeLessThan(5_000);
    const arrivals = proxy.arrivals.length;
    // Three times the first delay of a listener that would come back: what does not happen gives no signal.
    await new Promise((resolve) => setTimeout(resolve, 750));
    expect(proxy.arrivals.length, mode).toBe(arrivals);
  }
});

test("a listener whose tables are missing rejects, and leaves no connection", async () => {
  const store = fixture.store({ notify: true });
  const { error } = await failureOf(Promise.resolve(store.notify?.(() => {})));
  expect(error).toMatchObject({ name: "ERR_STORE", operation: "notify", cause: { code: "42P01" } });
  await until("LISTEN has ended", async () => {
    const rows = await fixture.sql`select from pg_stat_activity
      where application_name = ${store.config.application_name} and query ilike 'listen%'`;
    return rows.length === 0;
  });
});

test("a listener ends with its disposer, the store works on", async () => {
  const { store, other, received, dispose } = await pair();
  await say(other, "Before");
  await untilReceived(received, "Before");
  await dispose();
  await until("LISTEN has ended", async () => {
    const rows = await fixture.sql`select from pg_stat_activity
      where application_name = ${store.config.application_name} and query ilike 'listen%'`;
    return rows.length === 0;
  });
  await say(other, "Unheard");
  expect(await store.query(() => {})).toBe(2);
  expect(received).toEqual(["Before"]);
});

test("listen_url is where the channel is listened to", async () => {
  const direct = await TcpProxy.before(fixture.parts);
  const { user, password, database } = fixture.parts;
  const listen_url = `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${direct.port}/${database}`;
  const { other, received, proxy } = await pair({ listen_url });
  expect(direct.arrivals.length).toBe(1);
  proxy.mode = "refuse";
  proxy.cut();
  await say(other, "Through");
  await untilReceived(received, "Through");
});

test("a handler that throws costs neither the process nor the next notification", async () => {
  const { store, other } = await pair();
  const received: string[] = [];
  await store.notify?.(({ events }) => {
    received.push(...events.map(({ name }) => name));
    throw new Error("own");
  });
  for (const name of ["A", "B", "C"]) await say(other, name);
  await untilReceived(received, "C");
  expect(received).toEqual(["A", "B", "C"]);
});

test("nothing comes back after dispose, not even a listener that was about to", async () => {
  const { store, other, received, proxy } = await pair();
  await say(other, "Before");
  await untilReceived(received, "Before");
  proxy.mode = "refuse";
  proxy.cut();
  const before = proxy.arrivals.length;
  await until("the listener has tried to come back", async () => proxy.arrivals.length > before);
  await store.dispose();
  const disposed = performance.now();
  proxy.mode = "forward";
  await until("more than two delays have passed", async () => performance.now() > disposed + 1_200);
  // What was on its way when dispose was called may still arrive; the shortest delay is 187 ms.
  expect(proxy.arrivals.filter((time) => time > disposed + 100)).toEqual([]);
});
