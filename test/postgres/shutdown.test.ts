/** What is left of a store when its process or its owner is done with it: nothing. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore, PostgresStoreOptions } from "../../src/index.ts";
import { throughout } from "../conformance/kit/eventually.ts";
import { until } from "../order/fence.ts";
import { event, failureOf, meta, useDatabase } from "./fixture.ts";
import { TcpProxy } from "./proxy.ts";

const fixture = useDatabase();
const program = fileURLToPath(new URL("./fixtures/idle.ts", import.meta.url));

/** A process with a store of its own, to end by itself. */
class Child {
  #output = "";
  readonly #process: ChildProcess;
  readonly #closed: Promise<unknown[]>;

  constructor(options: PostgresStoreOptions, left = "") {
    const given = JSON.stringify({ ...fixture.parts, ...options });
    const child = spawn(process.execPath, [program, given, left], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdout.on("data", (text) => {
      this.#output += text;
    });
    this.#closed = once(child, "close");
    this.#process = child;
  }

  said(line: string): Promise<void> {
    return until(`the process says ${line}`, async () => this.#output.includes(line), 20_000);
  }

  tell(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  /** The exit code, and for how long the process was there after its last line. */
  async exit(): Promise<{ code: unknown; millis: number }> {
    await this.said("idle");
    const idle = performance.now();
    const [code] = await this.#closed;
    return { code, millis: performance.now() - idle };
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

/** Far below idleTimeoutMillis (30 s), far above what an exit takes on a busy machine. */
const SOON = 8_000;

/** They all start at once, for starting takes longest. */
const children = new Map<string, Child>();
beforeAll(() => {
  children.set("idle", new Child({ table: "idle" }));
  children.set("listening", new Child({ table: "listening", notify: true }));
  children.set("no longer listening", new Child({ table: "stopped", notify: true }, "stopped"));
  children.set("disposed", new Child({ table: "disposed", notify: true }, "disposed"));
  children.set("watching", new Child({ table: "watching" }, "watch"));
  children.set("no longer watching", new Child({ table: "unwatched" }, "watch stopped"));
  children.set("disposed while it watches", new Child({ table: "watched" }, "watch disposed"));
  children.set("unfinished", new Child({ table: "unfinished" }, "unfinished"));
});
afterAll(() => {
  for (const child of children.values()) child.kill();
});

test.each(["idle", "no longer listening", "disposed", "no longer watching", "disposed while it watches"])(
  "a process whose store is %s ends by itself",
  async (name) => {
    const exit = await children.get(name)?.exit();
    expect(exit?.code).toBe(0);
    expect(exit?.millis).toBeLessThan(SOON);
  },
);

test("a process does not end before what it has asked for is done", async () => {
  expect((await children.get("unfinished")?.exit())?.code).toBe(0);
  const rows = await fixture.sql`select name from unfinished order by id`;
  expect(rows.map(({ name }) => name)).toEqual(["First", "A", "B", "C"]);
});

test.each(["listening", "watching"])(
  "a process that is %s waits, and does not end by itself",
  async (name) => {
    const child = children.get(name);
    await child?.said("idle");
    await throughout(1_000, () => child?.running === true);
  },
);

test("a process that listens does not end while it tries to reconnect", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const child = new Child({ host: "127.0.0.1", port: proxy.port, notify: true, table: "cut" }, "cut");
  onTestFinished(() => child.kill());
  await child.said("cut");
  proxy.mode = "refuse";
  proxy.cut();
  child.tell("go");
  await child.said("idle");
  await throughout(1_000, () => child.running);
});

test("dispose leaves no connection of the store, whatever it was doing", async () => {
  const store = await fixture.seeded({ notify: true, max: 5 });
  await store.notify?.(() => {});
  await store.commit("s", [event()], meta);
  const work = [
    ...[1, 2, 3].map(() => store.commit("s", [event()], meta)),
    ...[1, 2, 3, 4, 5, 6].map(() => store.query(() => {})),
    store.subscribe([{ stream: "t" }]),
  ];
  const disposed = store.dispose();
  for (const result of await Promise.allSettled(work))
    if (result.status === "rejected")
      expect(result.reason).toMatchObject({ name: "ERR_STORE", cause: { code: "STORE_CLOSED" } });
  await disposed;
  await until("its backends have ended", async () => (await fixture.pids(store)).length === 0);
});

test("dispose waits for commits that wait for the append lock, and for what else runs", async () => {
  const store = await fixture.seeded();
  const held = await fixture.hold(store);
  const order: string[] = [];
  const commits = [1, 2].map(() => store.commit("s", [event()], meta).then(() => order.push("committed")));
  await until("the commits wait", async () => (await fixture.lockWaiters()).length === 1);
  const disposed = store.dispose().then(() => order.push("disposed"));
  await held.release();
  await Promise.all([...commits, disposed]);
  expect(order).toEqual(["committed", "committed", "disposed"]);
  expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["Happened", "Happened"]);
  await until("its backends have ended", async () => (await fixture.pids(store)).length === 0);
});

test("a commit that is called after dispose is refused, though dispose has not ended yet", async () => {
  const store = await fixture.seeded();
  const held = await fixture.hold(store);
  const before = store.commit("s", [event("Before")], meta);
  const disposed = store.dispose();
  const after = store.commit("s", [event("After")], meta).then(
    () => "committed",
    (error: unknown) => error,
  );
  await held.release();
  await Promise.all([before, disposed]);
  expect(await after).toMatchObject({
    name: "ERR_STORE",
    operation: "commit",
    cause: { code: "STORE_CLOSED" },
  });
  expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["Before"]);
});

test("dispose ends while a server does not answer, within the limits of what waits for it", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  proxy.mode = "silent";
  const store = fixture.store({
    host: "127.0.0.1",
    port: proxy.port,
    connectionTimeoutMillis: 600,
    notify: true,
  });
  const work = [
    failureOf(store.query(() => {})),
    failureOf(store.commit("s", [event()], meta)),
    failureOf(Promise.resolve(store.notify?.(() => {}))),
  ];
  const start = performance.now();
  await store.dispose();
  expect(performance.now() - start).toBeLessThan(5_000);
  for (const { error } of await Promise.all(work)) expect(error).toMatchObject({ name: "ERR_STORE" });
});

test("dispose of a store whose connections have all been cut ends, and another one may be made", async () => {
  const store = await fixture.seeded({ notify: true });
  await store.notify?.(() => {});
  await Promise.all([store.commit("s", [event()], meta), store.query(() => {})]);
  await fixture.kill(store);
  await store.dispose();
  await until("its backends have ended", async () => (await fixture.pids(store)).length === 0);
  const { table, application_name } = store.config;
  expect(await fixture.store({ table, application_name }).query(() => {})).toBe(1);
});

test("a driver of restore that reads from the same store is answered, and dispose waits for it", async () => {
  const store = await fixture.seeded({ max: 3 });
  await store.commit("s", [event("Kept")], meta);
  const names: string[] = [];
  const restored = store.restore(async (insert) => {
    await store.query(async (read) => {
      names.push(String(read.name));
      await insert(read);
    });
  });
  const disposed = store.dispose();
  const outcome = await restored.then(
    () => "restored",
    (error: unknown) => error,
  );
  await disposed;
  // The read may have come too late; then nothing was restored, and nothing is lost.
  if (outcome !== "restored") expect(outcome).toMatchObject({ name: "ERR_STORE" });
  expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["Kept"]);
});

/** Says that it was called, and never ends. */
const stuck = (began: () => void) => (): Promise<never> => {
  began();
  return new Promise(() => {});
};

test.each([
  ["restore", (store: PostgresStore, began: () => void) => store.restore(stuck(began))],
  [
    "import",
    (store: PostgresStore, began: () => void) =>
      new Admin(store).import({ [Symbol.asyncIterator]: () => ({ next: stuck(began) }) }),
  ],
])("dispose gives up the %s that waits for its caller for ever, and its locks", async (operation, work) => {
  const store = await fixture.seeded({ query_timeout: 500 });
  const began = Promise.withResolvers<void>();
  const running = work(store, began.resolve).then(
    () => "done",
    (error: unknown) => error,
  );
  await began.promise;
  await store.dispose();
  expect(await running).toMatchObject({ name: "ERR_STORE", operation, cause: { code: "STORE_CLOSED" } });
  const { table, application_name } = store.config;
  await until("its backends have ended", async () => (await fixture.pids(store)).length === 0);
  await fixture.store({ table, application_name }).commit("s", [event()], meta);
});
