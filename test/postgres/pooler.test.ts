/** Poolers, told apart by the server processes that they hand out: none, in session mode, in transaction mode. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { PostgresStoreOptions } from "../../src/index.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { forgetPooling, type HostState, openConnection } from "../../src/postgres/host-selection.ts";
import { StoreConnections } from "../../src/postgres/index.ts";
import { VALUES_AS_WRITTEN } from "../../src/postgres/transaction.ts";
import { FakeServer } from "./fake-server.ts";

/** A pooler whose clients are given the server processes that the function says. */
async function behind(processOf?: FakeServer["processOf"], options: PostgresStoreOptions = {}) {
  const server = await FakeServer.start();
  if (processOf) server.processOf = processOf;
  server.respond = ({ text }, session) =>
    text === "select pg_backend_pid() as pid"
      ? { columns: [["pid", 23]], rows: [[String(server.processOf(session))]], tag: "SELECT 1" }
      : {};
  const resolved = resolveOptions(
    { host: "127.0.0.1", port: server.port, connectionTimeoutMillis: 5_000, ...options },
    {},
  );
  const { config, secrets } = resolved;
  const hosts: HostState = { first: 0 };
  const open = async () => {
    const connection = await openConnection(
      { config, secrets, settings: { plan_cache_mode: "force_generic_plan" } },
      hosts,
      () => {},
    );
    onTestFinished(() => connection.destroy(new Error("the test has ended")));
    return connection;
  };
  const settings = () => server.ran.filter(({ text }) => text.includes("set_config('application_name'"));
  return { server, hosts, open, settings, options: resolved };
}

describe("without a pooler", () => {
  test("a connection costs nothing but its own first statement", async () => {
    const { server, hosts, open } = await behind();
    await open();
    expect(hosts.pooling).toBeUndefined();
    expect(server.ran.length).toBe(1);
    await open();
    expect(server.ran.length).toBe(2);
  });
});

describe("a pooler in session mode", () => {
  const ownProcess: FakeServer["processOf"] = ({ pid }) => pid + 1_000;

  test("is used, and each session gets the settings that the pooler has dropped", async () => {
    const { hosts, open, settings } = await behind(ownProcess, { application_name: "it's" });
    await open();
    await open();
    expect(await hosts.pooling).toBe("session");
    expect(settings().length).toBe(2);
    for (const { text } of settings()) {
      expect(text).toContain("set_config('default_transaction_isolation', 'read committed', false)");
      expect(text).toContain("set_config('plan_cache_mode', 'force_generic_plan', false)");
    }
  });

  test("gets a mark in each session's name, so that recovery ends no process that runs another client's", async () => {
    const { open, settings } = await behind(ownProcess, { application_name: `it's ü${"x".repeat(50)}` });
    const marks = [(await open()).backend?.mark ?? "", (await open()).backend?.mark ?? ""];
    expect(marks[0]).not.toBe(marks[1]);
    for (const [i, mark] of marks.entries()) {
      // PostgreSQL would replace other characters, and cut off the rest.
      expect(mark).toMatch(/^it's \?x{43}\/[0-9a-f]{8}-[0-9a-f]{4}$/);
      expect(mark.length).toBe(63);
      expect(settings()[i]?.text).toContain(`'application_name', '${mark.replace("'", "''")}', false)`);
    }
  });

  test("is told by a second client, once, and that client is gone afterwards", async () => {
    const { server, open } = await behind(ownProcess);
    await open();
    const [first, second] = server.sessions;
    expect(server.sessions.length).toBe(2);
    await vi.waitFor(() => expect(second?.socket.destroyed).toBe(true));
    expect(first?.socket.destroyed).toBe(false);
    await open();
    expect(server.sessions.length).toBe(3);
  });
});

describe("a pooler that serves no second client", () => {
  const ownProcess: FakeServer["processOf"] = ({ pid }) => pid + 1_000;

  /** Only the first client is served until `full` is false. */
  async function full(options: PostgresStoreOptions = {}) {
    const fixture = await behind(ownProcess, options);
    const state = { full: true };
    fixture.server.processOf = (session) => {
      if (state.full && session !== fixture.server.sessions[0]) session.socket.destroy();
      return ownProcess(session);
    };
    return { ...fixture, state };
  }

  test("may be in either mode: no server process is known, no setting is made, and nothing is kept of it", async () => {
    const { hosts, open, settings } = await full();
    const connection = await open();
    expect(connection.backend).toBeUndefined();
    expect(connection.ownsSession).toBe(false);
    expect(settings()).toEqual([]);
    expect(hosts.pooling).toBeUndefined();
  });

  test("is looked at again by the next connection", async () => {
    const { hosts, open, state, server } = await full();
    await open();
    state.full = false;
    expect((await open()).backend).toMatchObject({ pid: (server.sessions[2]?.pid ?? 0) + 1_000 });
    expect(await hosts.pooling).toBe("session");
  });

  test("gets transactions that rely on no session: each says its isolation, and parses what it needs", async () => {
    const { open, server } = await full();
    const connection = await open();
    await connection.prepare([{ text: "insert" }], 0);
    server.ran.length = 0;
    await connection.transact([{ text: "insert" }], 0);
    expect(server.ran.map(({ text }) => text)).toEqual([
      "begin isolation level read committed",
      VALUES_AS_WRITTEN.text,
      "insert",
      "commit",
    ]);
    expect(server.session.received).not.toContain("describe insert");
  });

  test("gets single statements without a name: another server process would not know it", async () => {
    const { open, server } = await full();
    const connection = await open();
    const names: string[] = [];
    server.parsed = (name) => names.push(name);
    await connection.run({ text: "select $1::int", params: [1] }, 0);
    expect(names).toEqual([""]);
  });

  test("gets single statements that write in a transaction too", async () => {
    const { server, options } = await full();
    const database = new StoreConnections(options);
    onTestFinished(() => database.close());
    await database.write("ack", { text: "update" });
    expect(server.ran.map(({ text }) => text).slice(-4)).toEqual([
      "begin isolation level read committed",
      VALUES_AS_WRITTEN.text,
      "update",
      "commit",
    ]);
  });
});

describe("a pooler that changes while the process runs", () => {
  test("is noticed by the next connection if it is put in front of the server", async () => {
    const { server, open } = await behind();
    expect((await open()).ownsSession).toBe(true);
    server.processOf = () => 999;
    await expect(open()).rejects.toMatchObject({ code: "POOLER" });
    server.processOf = ({ pid }) => pid;
    expect((await open()).ownsSession).toBe(true);
  });

  test("is looked at again after a connection was lost, and not after one that the store has closed", async () => {
    const { server, hosts, open } = await behind(({ pid }) => pid + 1_000);
    const connection = await open();
    expect(server.sessions.length).toBe(2);
    forgetPooling(hosts, connection, true);
    await open();
    expect(server.sessions.length).toBe(3);
    server.processOf = () => 999;
    forgetPooling(hosts, connection, false);
    await expect(open()).rejects.toMatchObject({ code: "POOLER" });
  });

  test("makes one caller wait if it serves no second client, and not the next ones", async () => {
    const { server, hosts, open } = await behind();
    let asked = 0;
    server.processOf = (session) => {
      // The second client's login is accepted, and its first statement is not answered.
      if (++asked === 2) server.hold("query", "identity");
      return session.pid + 1_000;
    };
    expect((await open()).ownsSession).toBe(false);
    expect(hosts.nextDetection).toBeGreaterThan(performance.now());
    expect((await open()).ownsSession).toBe(false);
    expect(server.sessions.length).toBe(3);
  });
});

describe("connections that are opened at once", () => {
  test("find out together: one second client is enough", async () => {
    const { server, open, settings } = await behind(({ pid }) => pid + 1_000);
    const connections = await Promise.all([open(), open(), open()]);
    expect(server.sessions.length).toBe(4);
    expect(settings().length).toBe(3);
    // Each knows its own server process, which it keeps.
    const pids = connections.map(({ backend }) => backend?.pid);
    expect(new Set(pids).size).toBe(3);
    for (const pid of pids) expect(pid).toBeGreaterThan(1_000);
  });

  test("are all refused by a pooler in transaction mode; a later one finds out for itself", async () => {
    const { server, open } = await behind(() => 999);
    for (const opened of await Promise.allSettled([open(), open()]))
      expect(opened).toMatchObject({ reason: { code: "POOLER" } });
    server.processOf = ({ pid }) => pid;
    expect((await open()).closedWith).toBeUndefined();
  });
});

describe("a pooler in transaction mode", () => {
  test("is refused on the first connection, with what to do", async () => {
    const { server, hosts, open } = await behind(() => 999);
    await expect(open()).rejects.toMatchObject({
      code: "POOLER",
      sent: false,
      message: expect.stringMatching(
        /transaction mode .* set prepare: false \(docs\/guides\/pgbouncer\.md\)/,
      ),
    });
    expect(hosts.pooling).toBeUndefined();
    for (const { socket } of server.sessions) await vi.waitFor(() => expect(socket.destroyed).toBe(true));
  });

  test("is found though other clients take server processes in between: a client gets another than before", async () => {
    let asked = 0;
    const { open } = await behind(({ pid }) => (++asked < 8 ? pid + 1_000 : pid + 2_000));
    await expect(open()).rejects.toMatchObject({ code: "POOLER" });
  });

  test("is used with prepare: false, and nobody looks", async () => {
    const { server, open, settings } = await behind(() => 999, { prepare: false });
    const connection = await open();
    await connection.transact([{ text: "insert" }], 0);
    expect(server.sessions.length).toBe(1);
    expect(settings()).toEqual([]);
  });
});
