/** A transaction with turns of the client in between, on a server that runs nothing. */
import { StoreError } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { resolveOptions } from "../../src/options/resolve.ts";
import { Connection } from "../../src/postgres/connection.ts";
import { runSession, type SessionOptions } from "../../src/postgres/session.ts";
import { texts } from "./channel.ts";
import { FakeServer } from "./fake-server.ts";

const OPENING = [
  "begin isolation level read committed",
  "select set_config('array_nulls', 'on', true), set_config('extra_float_digits', '1', true), set_config('idle_in_transaction_session_timeout', '60000', true)",
] as const;

async function open() {
  const server = await FakeServer.start();
  const { config, secrets } = resolveOptions({ host: "127.0.0.1", port: server.port }, {});
  const [endpoint] = config.hosts;
  if (!endpoint) throw new Error("no host");
  const connection = new Connection({ config, secrets, endpoint });
  onTestFinished(() => connection.destroy(new Error("the test has ended")));
  await connection.establish(0);
  server.ran.length = 0;
  const run = <T>(
    work: SessionOptions<T>["work"],
    options: Partial<Pick<SessionOptions<T>, "wasCommitted" | "end" | "deadline">> = {},
  ) => runSession(connection, { operation: "restore", work, deadline: 0, ...options });
  return { server, connection, run, ran: () => texts(server.ran) };
}

type Open = Awaited<ReturnType<typeof open>>;

test("work runs between BEGIN and COMMIT, and its result is the answer; the connection is kept", async () => {
  const { server, run, ran, connection } = await open();
  server.respond = ({ text }) => (text === "count" ? { columns: [["n", 23]], rows: [["7"]] } : {});
  const rows = await run((query) => query({ text: "count", params: [1] }));
  expect(rows).toEqual([{ n: 7 }]);
  expect(ran()).toEqual([...OPENING, "count", "commit"]);
  expect(connection.closedWith).toBeUndefined();
});

test("statements run one after the other, also for work that does not wait", async () => {
  const { run, ran } = await open();
  await run((query) => Promise.all(["a", "b", "c"].map((text) => query({ text }))));
  expect(ran()).toEqual([...OPENING, "a", "b", "c", "commit"]);
});

describe("while the client has its turn", () => {
  test("it says every ten seconds that it is there; while a statement runs, and afterwards, it does not", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const { server, run, ran } = await open();
    const hold = server.hold("execute", "slow");
    const heartbeats = () => ran().filter((text) => text === "select 1").length;
    await run(async (query) => {
      vi.advanceTimersByTime(9_999);
      vi.advanceTimersByTime(1);
      await vi.waitFor(() => expect(heartbeats()).toBe(1));
      const slow = query({ text: "slow" });
      await hold.reached;
      vi.advanceTimersByTime(50_000);
      hold.release();
      await slow;
    });
    expect(vi.getTimerCount()).toBe(0);
    expect(ran()).toEqual([...OPENING, "select 1", "slow", "commit"]);
  });
});

describe("when dispose() stops waiting", () => {
  const LIMIT = 200;

  test("work that goes on is carried out, however long it takes", async () => {
    const { run } = await open();
    const end = AbortSignal.abort();
    const sent = await run(
      async (query) => {
        const began = performance.now();
        let count = 0;
        // Time is what is tested: three times the limit, with a statement in each quarter of it.
        for (; performance.now() - began < 3 * LIMIT; count++) {
          await query({ text: "step" });
          await new Promise((resolve) => setTimeout(resolve, LIMIT / 4));
        }
        return count;
      },
      { end, deadline: LIMIT },
    );
    expect(sent).toBeGreaterThan(2);
  });

  test("work that sends nothing for the limit is given up", async () => {
    const { run, connection } = await open();
    const end = AbortSignal.abort();
    const given = run(() => new Promise(() => {}), { end, deadline: LIMIT });
    await expect(given).rejects.toMatchObject({ operation: "restore", cause: { code: "STORE_CLOSED" } });
    expect(connection.closedWith).toBeDefined();
  });
});

describe("a session fails", () => {
  const failures: readonly (readonly [string, (fixture: Open) => Promise<unknown>, object])[] = [
    [
      "with what its work throws, as it is",
      ({ run }) => run(() => Promise.reject(new TypeError("own"))),
      { name: "TypeError", message: "own" },
    ],
    [
      "with what the server refuses",
      ({ server, run }) => {
        server.refuse("execute", "insert", { code: "23505" });
        return run((query) => query({ text: "insert" }));
      },
      { name: new StoreError("x").name, operation: "restore", cause: { code: "23505" } },
    ],
    [
      "with what the server refuses at COMMIT",
      ({ server, run }) => {
        server.refuse("execute", "commit", { code: "23503" });
        return run(async () => {});
      },
      { operation: "restore", cause: { code: "23503" } },
    ],
    [
      "when COMMIT is answered by ROLLBACK",
      ({ server, run }) => {
        server.respond = ({ text }) => (text === "commit" ? { tag: "ROLLBACK" } : {});
        return run(async () => {});
      },
      { operation: "restore", cause: { message: "the transaction was no longer open after ROLLBACK" } },
    ],
  ];

  test.each(failures)("%s, and its connection is thrown away", async (_, fail, told) => {
    const fixture = await open();
    await expect(fail(fixture)).rejects.toMatchObject(told);
    expect(fixture.connection.closedWith).toBeDefined();
  });

  test("at the first statement of which the caller does not hear: no later one runs outside of it", async () => {
    const { server, run, ran } = await open();
    server.refuse("execute", "a", { code: "22P02" });
    await expect(
      run(async (query) => {
        query({ text: "a" }).catch(() => {});
        await query({ text: "b" });
      }),
    ).rejects.toMatchObject({ operation: "restore" });
    expect(ran()).not.toContain("commit");
  });
});

describe("a COMMIT without an answer", () => {
  /** The connection is lost when COMMIT arrives. */
  async function losing(options: Partial<Pick<SessionOptions<string>, "wasCommitted">> = {}) {
    const fixture = await open();
    const hold = fixture.server.hold("execute", "commit");
    const running = fixture.run(async () => "done", options);
    running.catch(() => {});
    await hold.reached;
    fixture.server.session.socket.destroy();
    return { ...fixture, running };
  }

  test("is looked for, and was one if it is found", async () => {
    const wasCommitted = vi.fn(async () => true);
    const { running, server } = await losing({ wasCommitted });
    expect(await running).toBe("done");
    expect(wasCommitted.mock.calls).toEqual([[{ pid: server.session.pid, started: "2026-01-01" }]]);
  });

  test("is the failure of the connection if it is not found", async () => {
    const { running } = await losing({ wasCommitted: async () => false });
    await expect(running).rejects.toMatchObject({
      operation: "restore",
      cause: { code: "CONNECTION_CLOSED" },
    });
  });

  test("is unknown where nobody can tell", async () => {
    const { running } = await losing();
    await expect(running).rejects.toMatchObject({ operation: "restore", cause: { code: "OUTCOME_UNKNOWN" } });
    const failing = await losing({ wasCommitted: () => Promise.reject(new Error("nobody answers")) });
    await expect(failing.running).rejects.toMatchObject({
      operation: "restore",
      cause: { message: "nobody answers" },
    });
  });
});

test("a connection that is lost before COMMIT is not looked for: nothing was committed", async () => {
  const { server, run } = await open();
  const wasCommitted = vi.fn(async () => true);
  const hold = server.hold("execute", "insert");
  const running = run((query) => query({ text: "insert" }), { wasCommitted });
  running.catch(() => {});
  await hold.reached;
  server.session.socket.destroy();
  await expect(running).rejects.toMatchObject({ operation: "restore", cause: { code: "CONNECTION_CLOSED" } });
  expect(wasCommitted).not.toHaveBeenCalled();
});
