/** Ways to a server: several hosts, IPv6, a Unix socket, TLS that it does not have, and half-open connections. */
import { mkdtemp, rm } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startPostgres } from "../../dev/postgres/index.ts";
import type { PostgresStoreOptions } from "../../src/index.ts";
import { titled } from "../faults/failover/programs.ts";
import { connect } from "../support/database.ts";
import { event, failureOf, meta, useDatabase } from "./fixture.ts";
import { deadPort, TcpProxy } from "./proxy.ts";

const fixture = useDatabase();

async function works(options: PostgresStoreOptions): Promise<void> {
  const store = await fixture.seeded(options);
  expect(await store.commit("s", [event()], meta)).toHaveLength(1);
  expect(await store.query(() => {})).toBe(1);
  await store.dispose();
}

/** The same by a URL alone. */
const worksBy = (url: string) =>
  works({ host: undefined, port: undefined, user: undefined, password: undefined, database: undefined, url });

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === "::1"));
const ipv6 = titled(
  "an IPv6 address is an address, as an option and in a URL",
  hasIpv6 ? "" : "this machine has no address ::1",
);
const isWindows = process.platform === "win32";
const folderAsHost = titled(
  "a folder as host is the folder of a Unix socket",
  isWindows ? "Node has no Unix sockets on Windows" : "",
);

test("of several hosts the first that answers is used", async () => {
  const dead = await deadPort();
  const { host, port, user, password, database } = fixture.parts;
  await works({ host: `127.0.0.1,${host}`, port: `${dead},${port}` });
  const secret = encodeURIComponent(password);
  const url = `postgres://${user}:${secret}@127.0.0.1:${dead},${host}:${port}/${database}`;
  await worksBy(url);
});

test("of several hosts the one that accepts but does not answer is passed over", async () => {
  const { host, port } = fixture.parts;
  const silent = await TcpProxy.before({ host, port });
  silent.mode = "silent";
  const options = { host: `127.0.0.1,${host}`, port: `${silent.port},${port}`, connectionTimeoutMillis: 500 };
  await works(options);
});

test("when none of several hosts answers the error names one, and a port", async () => {
  const [one, two] = [await deadPort(), await deadPort()];
  const store = fixture.store({ host: "127.0.0.1,127.0.0.1", port: `${one},${two}` });
  const { error } = await failureOf(store.query(() => {}));
  expect(error).toMatchObject({
    name: "ERR_STORE",
    cause: {
      code: "ECONNREFUSED",
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:(${one}|${two})`)),
    },
  });
});

test.each(["read-write", "primary", "prefer-standby"] as const)(
  "a primary is taken for target_session_attrs=%s",
  (target_session_attrs) => works({ target_session_attrs }),
);

test.each(["standby", "read-only"] as const)(
  "a primary is not taken for target_session_attrs=%s, and the error says so",
  async (target_session_attrs) => {
    const store = fixture.store({ target_session_attrs, connectionTimeoutMillis: 2_000 });
    for (const call of [() => store.query(() => {}), () => store.commit("s", [event()], meta)]) {
      const { error, millis } = await failureOf(call());
      expect(error).toMatchObject({
        name: "ERR_STORE",
        cause: { name: "ConnectionError", message: expect.stringContaining(target_session_attrs) },
      });
      expect(millis).toBeLessThan(8_000);
    }
  },
);

test("a primary whose transactions are read-only is not taken for target_session_attrs=read-write, and is called so", async () => {
  const options = "-c default_transaction_read_only=on";
  const { error } = await failureOf(
    fixture.store({ target_session_attrs: "read-write", options }).query(() => {}),
  );
  expect(error).toMatchObject({
    cause: {
      code: "NO_SERVER",
      message: expect.stringMatching(/^no host is read-write .* is a read-only primary/),
    },
  });
});

test("of several hosts the first that may be written to is used for target_session_attrs=read-write", async () => {
  const { host, port, user, password, database } = fixture.parts;
  const other = await startPostgres({
    prefer: "embedded",
    inMemory: true,
    settings: { default_transaction_read_only: "on" },
  });
  onTestFinished(() => other.stop());
  const sql = connect(other.url);
  await sql.unsafe("set default_transaction_read_only = off");
  const known = await sql`select from pg_roles where rolname = ${user}`;
  await sql.unsafe(`${known.length ? "alter" : "create"} role "${user}" login password '${password}'`);
  await sql.unsafe(`create database "${database}"`);
  await sql.end();
  const hosts = { host: `127.0.0.1,${host}`, port: `${other.port},${port}` };
  await works({ ...hosts, target_session_attrs: "read-write" });
});

test.skipIf(!hasIpv6)(ipv6, async () => {
  const { host, port, user, password, database } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port }, { host: "::1", port: 0 });
  await works({ host: "::1", port: proxy.port });
  const url = `postgres://${user}:${encodeURIComponent(password)}@[::1]:${proxy.port}/${database}`;
  await worksBy(url);
  expect(proxy.arrivals.length).toBeGreaterThan(0);
});

test.skipIf(isWindows)(folderAsHost, async () => {
  const folder = await mkdtemp(join(tmpdir(), "act-socket-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { host, port, user, password, database } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port }, { path: join(folder, ".s.PGSQL.6000") });
  await works({ host: folder, port: 6_000 });
  const parts = {
    host: undefined,
    port: undefined,
    user: undefined,
    password: undefined,
    database: undefined,
  };
  const login = `${user}:${encodeURIComponent(password)}`;
  await works({ ...parts, url: `postgres://${login}@${encodeURIComponent(folder)}:6000/${database}` });
  await works({ ...parts, url: `postgres://${login}@/${database}?host=${folder}&port=6000` });
  expect(proxy.arrivals.length).toBeGreaterThan(2);
});

test("a server without TLS is told apart from one that is down, where TLS is asked for", async () => {
  for (const ssl of [true, "require", "verify-full"] as const) {
    const store = fixture.store({ ssl });
    const { error } = await failureOf(store.commit("s", [event()], meta));
    expect(error, String(ssl)).toMatchObject({
      name: "ERR_STORE",
      operation: "commit",
      cause: { name: "ConnectionError", message: expect.stringMatching(/ssl|TLS/) },
    });
  }
});

test.each(["prefer", "allow", "disable"] as const)("a server without TLS is used with ssl: %s", (ssl) =>
  works({ ssl }),
);

test("a connection that goes silent under a query is given up after statement_timeout and a grace", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const limits = { statement_timeout: 200, connectionTimeoutMillis: 1_000 };
  const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port, ...limits });
  await store.commit("s", [event("First")], meta);
  proxy.freeze();
  const [query, commit, claim] = await Promise.all([
    failureOf(store.query(() => {})),
    failureOf(store.commit("s", [event("Second")], meta, 0)),
    failureOf(store.claim(1, 1, "w", 1_000)),
  ]);
  for (const { error, millis } of [query, commit, claim]) {
    expect(error).toMatchObject({ name: "ERR_STORE", cause: { name: "ConnectionError" } });
    expect(millis).toBeLessThan(12_000);
  }
  expect(commit.error).toMatchObject({ cause: { code: "OUTCOME_UNKNOWN" } });
  proxy.mode = "forward";
  expect(await store.query(() => {})).toBe(1);
  expect(await store.commit("s", [event("Third")], meta, 0)).toMatchObject([{ version: 1 }]);
});
