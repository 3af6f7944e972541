/** A connection with the driver on it, to a server that runs nothing: transactions, queries, and how each ends. */
import net from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { PostgresStoreOptions } from "../../src/index.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { Connection } from "../../src/postgres/connection.ts";
import { TransactionFailure } from "../../src/postgres/index.ts";
import { failureOf, insert, lock } from "./channel.ts";
import { FakeServer } from "./fake-server.ts";

async function open(options: PostgresStoreOptions = {}) {
  const server = await FakeServer.start();
  const { config, secrets } = resolveOptions({ host: "127.0.0.1", port: server.port, ...options }, {});
  const [endpoint] = config.hosts;
  if (!endpoint) throw new Error("no host");
  const closed = vi.fn();
  const connection = new Connection({ config, secrets, endpoint }, closed);
  onTestFinished(() => connection.destroy(new Error("the test has ended")));
  server.respond = ({ text }) =>
    text === "count" ? { columns: [["n", 23]], rows: [["1"]], tag: "SELECT 1" } : {};
  return { server, connection, closed };
}

const transact = (connection: Connection, size = 1, deadline = 0) =>
  connection.transact([lock, insert(size)], deadline);

test("a transaction and the driver's queries take turns on one socket", async () => {
  const { server, connection } = await open();
  for (let round = 0; round < 3; round++) {
    expect(await transact(connection)).toHaveLength(2);
    expect(await connection.run({ text: "count", params: [round] }, 0)).toEqual([{ n: 1 }]);
    expect(await connection.run({ text: "count" }, 0)).toEqual([{ n: 1 }]);
  }
  expect(server.sessions.length).toBe(1);
  expect(connection.closedWith).toBeUndefined();
});

test("a connection knows its server process, and the server's clock", async () => {
  const { server, connection } = await open();
  await transact(connection);
  expect(connection.backend).toEqual({ pid: server.session.pid, started: "2026-01-01" });
  expect(connection.established).toBe(true);
  // The server says 1000 ms.
  expect(connection.serverTime()).toBeGreaterThanOrEqual(1_000);
  expect(connection.serverTime()).toBeLessThan(60_000);
});

test("the server's clock counts from before it was asked for, however long the answer lies unread", async () => {
  const { server, connection } = await open();
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const hold = server.hold("query", "identity");
  const established = connection.establish(0);
  await hold.reached;
  vi.advanceTimersByTime(700);
  hold.release();
  await established;
  expect(connection.serverTime()).toBe(1_700);
});

test("a connection that is opened before it is needed keeps no process alive, neither do its timers", async () => {
  const { server, connection } = await open({ connectionTimeoutMillis: 5_000 });
  const timers = vi.spyOn(globalThis, "setTimeout");
  onTestFinished(() => void timers.mockRestore());
  connection.ref(false);
  const hold = server.hold("query", "identity");
  const established = connection.establish(5_000);
  await hold.reached;
  // Of the statement, of the connect, and of the login; the driver's own begin the connect at once.
  const long = timers.mock.results.filter((_, i) => (timers.mock.calls[i]?.[1] ?? 0) >= 1_000);
  expect(long.map(({ value }) => value.hasRef())).toEqual([false, false, false]);
  hold.release();
  await established;
});

test("a server that takes the connection and does not let the user in is given up after connectionTimeoutMillis", async () => {
  const silent = net.createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void silent.close());
  const { port } = silent.address() as net.AddressInfo;
  const { connection } = await open({ port, connectionTimeoutMillis: 60 });
  await expect(connection.run({ text: "count" }, 0)).rejects.toMatchObject({
    code: "CONNECT_TIMEOUT",
    sent: false,
    message: expect.stringMatching(/took the connection but did not answer in 60 ms/),
  });
});

test("behind a pooler it does not: what it was told at connect is the pooler's", async () => {
  const { server, connection } = await open({ prepare: false });
  server.processOf = () => 999;
  expect(await connection.establish(0)).toMatchObject({ pooled: true });
  expect(connection.backend).toBeUndefined();
});

describe("a connection that is lost", () => {
  test("before Sync is sent leaves no doubt: nothing was committed", async () => {
    const { server, connection, closed } = await open();
    const hold = server.hold("flush");
    const failure = failureOf(transact(connection, 200_000));
    await hold.reached;
    server.session.socket.destroy();
    expect(await failure).toMatchObject({
      inDoubt: false,
      step: undefined,
      cause: {
        code: "CONNECTION_CLOSED",
        message: expect.stringMatching(/^the connection was lost: try again/),
        sent: true,
      },
    });
    expect(closed).toHaveBeenCalledTimes(1);
  });

  test("after Sync was sent leaves the transaction in doubt, small or large", async () => {
    for (const size of [1, 200_000]) {
      const { server, connection } = await open();
      const hold = server.hold("sync");
      const failure = failureOf(transact(connection, size));
      await hold.reached;
      server.session.socket.destroy();
      expect(await failure).toMatchObject({
        inDoubt: true,
        step: undefined,
        cause: { code: "CONNECTION_CLOSED" },
      });
      expect(connection.closedWith).toBeDefined();
    }
  });

  test("before the server has answered leaves no doubt, and says so", async () => {
    const { server, connection } = await open();
    const hold = server.hold("query", "identity");
    const failure = failureOf(transact(connection));
    await hold.reached;
    server.session.socket.destroy();
    expect(await failure).toMatchObject({
      inDoubt: false,
      cause: {
        code: "CONNECTION_CLOSED",
        message: expect.stringMatching(/closed the connection before it answered/),
      },
    });
  });

  test("is not used again", async () => {
    const { server, connection } = await open();
    await transact(connection);
    server.session.socket.destroy();
    await vi.waitFor(() => expect(connection.closedWith).toBeDefined());
    expect(await failureOf(transact(connection))).toMatchObject({
      inDoubt: false,
      cause: { code: "CONNECTION_CLOSED" },
    });
    await expect(connection.run({ text: "count" }, 0)).rejects.toMatchObject({ code: "CONNECTION_CLOSED" });
    expect(server.sessions.length).toBe(1);
  });
});

describe("the server's last words (FATAL)", () => {
  const fatal = { code: "57P01", severity: "FATAL" };

  test("before Sync was sent are the cause, and leave no doubt", async () => {
    const { server, connection } = await open();
    server.refuse("bind", "insert", fatal);
    const failure = await failureOf(transact(connection, 200_000));
    expect(failure).toMatchObject({ inDoubt: false, step: undefined, cause: { code: "57P01" } });
    expect(connection.closedWith).toMatchObject({ code: "57P01" });
  });

  test("after it was sent leave the transaction in doubt", async () => {
    const { server, connection } = await open();
    server.refuse("execute", "lock", fatal);
    expect(await failureOf(transact(connection))).toMatchObject({ inDoubt: true, cause: { code: "57P01" } });
    expect(connection.closedWith).toMatchObject({ code: "57P01" });
  });
});

describe("a deadline", () => {
  test("that passes before Sync was sent leaves no doubt", async () => {
    const { server, connection } = await open();
    await transact(connection);
    const hold = server.hold("flush");
    const failure = await failureOf(transact(connection, 200_000, 50));
    expect(failure).toMatchObject({
      inDoubt: false,
      cause: {
        code: "DEADLINE",
        message: expect.stringMatching(/no answer from 127\.0\.0\.1:\d+ within \d+ ms/),
      },
    });
    hold.release();
  });

  test("that passes afterwards leaves the transaction in doubt, and cuts the connection", async () => {
    const { server, connection, closed } = await open();
    await transact(connection);
    const hold = server.hold("execute", "lock");
    expect(await failureOf(transact(connection, 1, 50))).toMatchObject({
      inDoubt: true,
      cause: { code: "DEADLINE" },
    });
    expect(closed).toHaveBeenCalledTimes(1);
    hold.release();
  });

  test("is one for all that a transaction does: connecting leaves less of it for the statements", async () => {
    const { server, connection } = await open();
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const [identity, execute] = [server.hold("query", "identity"), server.hold("execute", "lock")];
    const failure = failureOf(transact(connection, 1, 100));
    await identity.reached;
    vi.advanceTimersByTime(60);
    identity.release();
    await execute.reached;
    expect(await failure).toMatchObject({
      inDoubt: true,
      cause: { code: "DEADLINE", message: expect.stringMatching(/within 40 ms/) },
    });
    execute.release();
  });

  test("does not strike though the process was busy: the answer is there, unread", async () => {
    const { server, connection } = await open();
    await transact(connection);
    const { socket } = server.session;
    const write = socket.write.bind(socket);
    vi.spyOn(socket, "write").mockImplementation((...args) => {
      const written = write(...args);
      const end = performance.now() + 300;
      while (performance.now() < end);
      return written;
    });
    const transaction = transact(connection, 1, 100);
    expect(await transaction).toHaveLength(2);
  });
});

test("a failure of the server leaves the connection as good as before", async () => {
  const { server, connection, closed } = await open();
  server.refuse("execute", "insert", { code: "22P02" });
  const failure = await failureOf(transact(connection));
  expect(failure).toBeInstanceOf(TransactionFailure);
  expect(failure).toMatchObject({ step: "execute", failedAt: 1, inDoubt: false });
  expect(await connection.run({ text: "count" }, 0)).toEqual([{ n: 1 }]);
  expect(closed).not.toHaveBeenCalled();
});

test("an answer that can't be read ends the connection, and leaves the transaction in doubt", async () => {
  const { server, connection } = await open();
  server.respond = () => ({ columns: [["data", 3802]], rows: [["{"]] });
  expect(await failureOf(transact(connection))).toMatchObject({
    inDoubt: true,
    cause: expect.any(SyntaxError),
  });
  expect(connection.closedWith).toBeInstanceOf(SyntaxError);
});
