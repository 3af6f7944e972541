/** Options that tell how connections are made, kept and given up. */
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import type { OnConnect } from "../../src/options/modes.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { openSocket } from "../../src/postgres/socket.ts";
import { until } from "../order/fence.ts";
import { event, failureOf, meta, useDatabase } from "./fixture.ts";

const fixture = useDatabase();

test("each new connection asks the function for the password, so that a token may expire", async () => {
  const { password } = fixture.parts;
  let asked = 0;
  const store = await fixture.seeded({
    password: async () => {
      asked++;
      return password;
    },
  });
  await store.commit("s", [event()], meta);
  await store.query(() => {});
  const before = asked;
  expect(before).toBe((await fixture.pids(store)).length);
  await fixture.kill(store);
  expect(await store.query(() => {})).toBe(1);
  expect(asked).toBeGreaterThan(before);
});

test.each([
  ["throws", () => Promise.reject(new Error("no token today")), "no token today"],
  ["returns nothing", () => undefined as unknown as string, "undefined instead of a string"],
  ["never returns", () => new Promise<string>(() => {}), "returned no password within 2700 ms"],
])("a function that %s is named as the reason", async (_, password, said) => {
  const store = fixture.store({ password, connectionTimeoutMillis: 3_000 });
  const { error } = await failureOf(store.query(() => {}));
  expect(error).toMatchObject({
    cause: { code: "PASSWORD", sent: false, message: expect.stringContaining(said) },
  });
});

test("onConnect runs on each connection before its first use, and may fail it", async () => {
  const store = await fixture.seeded({
    onConnect: async ({ query }) => void (await query("set search_path = pg_catalog")),
  });
  await Promise.all([store.query(() => {}), store.query(() => {}), store.commit("s", [event()], meta)]);
  const broken = fixture.store({ onConnect: ({ query }) => query("set role nobody_there").then(() => {}) });
  expect((await failureOf(broken.query(() => {}))).error).toMatchObject({
    cause: {
      code: "ON_CONNECT",
      message: expect.stringContaining('role "nobody_there" does not exist (22023)'),
    },
  });
  await expect.poll(() => fixture.pids(broken)).toEqual([]);
});

test("queries of onConnect end before the connection is used, and none is sent afterwards", async () => {
  let kept: (text: string) => Promise<unknown> = () => Promise.resolve();
  let slept = false;
  const store = fixture.store({
    max: 1,
    onConnect: ({ query }) => {
      kept = query;
      void query("select pg_sleep(0.2)").then(() => {
        slept = true;
      });
    },
  });
  await store.seed();
  expect(slept).toBe(true);
  await expect(kept("begin")).rejects.toMatchObject({
    code: "ON_CONNECT",
    message: expect.stringContaining("has ended"),
  });
  await store.commit("s", [event()], meta);
  const broken = fixture.store({ onConnect: ({ query }) => void query("set role nobody_there") });
  await expect(broken.seed()).rejects.toMatchObject({ cause: { code: "ON_CONNECT" } });
});

test("an onConnect that throws, never ends, or calls the store is named as the reason, and dispose ends", async () => {
  const own: { store?: PostgresStore } = {};
  for (const [onConnect, said] of [
    [() => Promise.reject(new Error("not today")), "failed: not today"],
    [() => new Promise<void>(() => {}), "did not end within 300 ms"],
    [async () => void (await own.store?.query(() => {})), "did not end within 300 ms"],
  ] as const) {
    own.store = fixture.store({ onConnect, connectionTimeoutMillis: 300, max: 1 });
    const { error } = await failureOf(own.store.query(() => {}));
    expect(error).toMatchObject({ cause: { code: "ON_CONNECT", message: expect.stringContaining(said) } });
    await own.store.dispose();
  }
});

test("an error in onConnect is said to be onConnect's, and blames neither the store's tables nor triggers", async () => {
  const passed = Object.assign(new Error("EPERM: not permitted, open 'role.txt'"), { code: "EPERM" });
  for (const [onConnect, said] of [
    [({ query }) => query("sellect 1"), /failed: syntax error at or near "sellect" \(42601\)/],
    [({ query }) => query("select nothing.at_all()"), /failed: .*"nothing".* \(3F000\)/],
    [
      ({ query }) => query("select 'secret'::int"),
      /failed: the server refused a statement, see its log \(22P02\)/,
    ],
    [
      ({ query }) => Reflect.apply(query, undefined, ["select set_config('app.x', $1, false)", ["1"]]),
      /query\(\) a second argument: it takes no parameters, so write the values into the text/,
    ],
    [() => Promise.reject(passed), /failed: EPERM: not permitted, open 'role.txt'/],
  ] satisfies [OnConnect | ((connection: Parameters<OnConnect>[0]) => Promise<unknown>), RegExp][]) {
    const store = fixture.store({ onConnect: async (connection) => void (await onConnect(connection)) });
    const { error } = await failureOf(store.query(() => {}));
    const cause = error instanceof Error ? error.cause : undefined;
    expect(cause).toMatchObject({ name: "ConnectionError", code: "ON_CONNECT", sent: false });
    const text = cause instanceof Error ? cause.message : "";
    expect(text).toMatch(said);
    expect(text).not.toMatch(/seed\(\)|trigger|secret/);
    expect(text).toMatch(/mend the function given as option onConnect/);
  }
});

test("a connection that the server ends during onConnect is lost, which is not onConnect's fault", async () => {
  const store = fixture.store({
    onConnect: ({ query }) => void query("select pg_terminate_backend(pg_backend_pid())"),
  });
  const { error } = await failureOf(store.query(() => {}));
  expect(error).toMatchObject({ cause: { code: expect.stringMatching(/^(57P01|CONNECTION_CLOSED)$/) } });
});

test("settings of options, lock_timeout and idle_in_transaction_session_timeout are those of the session", async () => {
  const seen: unknown[] = [];
  const store = await fixture.seeded({
    options: "-c search_path=pg_catalog -c work_mem=5MB",
    lock_timeout: 1_234,
    idle_in_transaction_session_timeout: 4_321,
    onConnect: async ({ query }) =>
      void seen.push(
        ...(await query(`select current_setting('search_path') as path, current_setting('work_mem') as memory,
          current_setting('lock_timeout') as lock, current_setting('idle_in_transaction_session_timeout') as idle`)),
      ),
  });
  await store.commit("s", [event()], meta);
  expect(seen.length).toBeGreaterThan(0);
  for (const one of seen)
    expect(one).toEqual({ path: "pg_catalog", memory: "5MB", lock: "1234ms", idle: "4321ms" });
});

test("query_timeout gives up an answer that does not come", async () => {
  const store = await fixture.seeded({ query_timeout: 300 });
  const { release } = await fixture.hold(store);
  const { error, millis } = await failureOf(store.truncate([{ stream: "s" }]));
  expect(error).toMatchObject({ cause: { code: expect.stringMatching(/DEADLINE|OUTCOME_UNKNOWN/) } });
  expect(millis).toBeLessThan(5_000);
  await release();
});

test("maxUses closes a connection after so many uses", async () => {
  let opened = 0;
  const store = await fixture.seeded({
    maxUses: 2,
    max: 2,
    onConnect: () => {
      opened++;
    },
  });
  const before = opened;
  for (let n = 0; n < 6; n++) await store.query(() => {});
  expect(opened - before).toBeGreaterThanOrEqual(2);
  expect(opened - before).toBeLessThanOrEqual(4);
});

test("min idle connections stay open", async () => {
  const store = await fixture.seeded({ min: 2, idleTimeoutMillis: 50 });
  await Promise.all([1, 2, 3, 4, 5].map(() => store.query(() => {})));
  await store.commit("s", [event()], meta);
  // One for commits, and one for the rest.
  await until("the others are closed", async () => (await fixture.pids(store)).length === 2);
  // Four times the limit: what does not happen gives no signal.
  await fixture.sql`select pg_sleep(0.2)`;
  expect((await fixture.pids(store)).length).toBe(2);
});

test("a Unix socket is not asked for TLS, as in libpq", async () => {
  const net = await import("node:net");
  const { mkdtempSync, rmSync } = await import("node:fs");
  const folder = mkdtempSync("/tmp/act-");
  const received: number[] = [];
  const server = net.createServer((socket) => socket.on("data", ({ length }) => void received.push(length)));
  await new Promise<void>((resolve) => server.listen(`${folder}/.s.PGSQL.5432`, resolve));
  onTestFinished(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const target = resolveOptions({ url: `postgres:///d?host=${folder}&sslmode=require` }, {});
  const socket = await openSocket({ host: folder, port: 5432 }, target);
  expect(received).toEqual([]);
  socket.destroy();
});
