/** A recovery asks one server, and keeps to its deadline; a waiter's connection; on a server that runs nothing. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { resolveOptions } from "../../src/options/resolve.ts";
import { Connection } from "../../src/postgres/connection.ts";
import { type HostState, openConnection } from "../../src/postgres/host-selection.ts";
import { StoreConnections } from "../../src/postgres/index.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { FakeServer, type FakeSession } from "./fake-server.ts";

async function open() {
  const server = await FakeServer.start();
  const options = resolveOptions({ host: "127.0.0.1", port: server.port, statement_timeout: 60_000 }, {});
  const database = new StoreConnections(options);
  onTestFinished(() => database.close());
  return { server, database };
}

describe("a recovery", () => {
  const lost = { pid: 7, started: "2026-01-01" };

  test("ends the lost process and asks for what became of it on one connection, so by one server", async () => {
    const { server, database } = await open();
    const asked: FakeSession[] = [];
    let alive = 2;
    server.respond = ({ text }, session) => {
      asked.push(session);
      const ending = text.includes("pg_terminate_backend");
      return ending && alive-- > 0 ? { columns: [["ended", 16]], rows: [["t"]], tag: "SELECT 1" } : {};
    };
    await database.recover(lost, [{ text: "tokens" }]);
    expect(server.ran.filter(({ text }) => text === "tokens").length).toBe(1);
    expect(new Set(asked).size).toBe(1);
  });

  test("fails at its deadline, whatever it waits for: a connection, the end of the process, or an answer", async () => {
    for (const [kind, text] of [
      ["query", "identity"],
      ["execute", "tokens"],
    ] as const) {
      const { server, database } = await open();
      const hold = server.hold(kind, text);
      const failed = database.recover(lost, [{ text: "tokens" }], performance.now() + 60);
      await expect(failed).rejects.toMatchObject({ code: expect.stringMatching(/DEADLINE|CONNECT_TIMEOUT/) });
      hold.release();
    }
  });
});

test("a host that refuses the look at it keeps no connection", async () => {
  const server = await FakeServer.start();
  server.refuse("query", "identity", { code: "57014" });
  const options = resolveOptions(
    { host: "127.0.0.1", port: server.port, target_session_attrs: "read-write" },
    {},
  );
  const hosts: HostState = { first: 0 };
  await expect(openConnection(options, hosts, () => {})).rejects.toMatchObject({ code: "57014" });
  await vi.waitFor(() => expect(server.session.socket.destroyed).toBe(true));
  const connection = await openConnection(options, hosts, () => {});
  onTestFinished(() => connection.destroy(new Error("the test has ended")));
  expect(server.sessions.length).toBe(2);
});

test("who waits for a connection that is being warmed up gets one that keeps the process alive", async () => {
  const { database } = await open();
  const ref = vi.spyOn(Connection.prototype, "ref");
  onTestFinished(() => void ref.mockRestore());
  const [warming, warm] = [gate(), gate()];
  database.writer.warmUp(async () => {
    warming.open();
    await warm.passed;
  });
  await warming.passed;
  expect(ref.mock.calls.at(-1)).toEqual([false]);
  const used = database.writer.use(async () => ref.mock.calls.at(-1));
  warm.open();
  expect(await used).toEqual([true]);
});
