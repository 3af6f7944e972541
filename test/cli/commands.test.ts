/** Each command on a store with a backlog and a blocked subscription: its text, its JSON, its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { beforeAll, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { blockMailer, withBacklog } from "../admin/fixture.ts";
import { useScene } from "../postgres/fixture.ts";
import { commandOn, runCommand, widest } from "./command.ts";

const scene = useScene();
const broken = async (): Promise<PostgresStore> => {
  const store = await withBacklog(scene);
  await blockMailer(store);
  return store;
};
const onBroken = async () => commandOn(scene, await broken());

/** Values that differ from run to run: what is left is the form of a document. */
const SHAPELESS = /^\d{4}-\d\d-\d\dT/;
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shape(each)]));
  return typeof value === "string" && SHAPELESS.test(value) ? "date" : typeof value;
}

describe("--help", () => {
  test("of the command lists every command within 80 columns", async () => {
    const { code, out } = await runCommand(["--help"]);
    expect(code).toBe(0);
    expect(widest(out)).toBeLessThanOrEqual(80);
    expect(out).toMatchSnapshot();
  });

  test.each([
    "status",
    "lag",
    "blocked",
    "doctor",
    "events",
    "event",
    "tail",
    "stream",
    "trace",
    "unblock",
    "skip",
    "skipped",
    "release",
    "backfill",
    "rebuild",
    "forget",
    "reset",
    "defer",
    "prioritize",
    "plan",
    "seed",
    "ddl",
    "export",
    "import",
    "archive",
    "reap",
  ])("of %s", async (name) => {
    const { code, out } = await runCommand([name, "--help"]);
    expect(code).toBe(0);
    expect(widest(out)).toBeLessThanOrEqual(80);
    expect(out).toMatchSnapshot();
  });
});

describe("--json has a stable form", () => {
  let command: ReturnType<typeof commandOn>;
  beforeAll(async () => {
    command = await onBrokenForAll();
  });

  test.each([
    ["status"],
    ["lag"],
    ["blocked"],
    ["doctor"],
    ["events", "--limit", "1"],
    ["event", "4"],
    ["stream", "order-1"],
    ["trace", "c-1"],
    ["plan"],
    ["seed"],
    ["unblock", "--all", "--dry-run"],
    ["reset", "report", "--dry-run"],
    ["skip", "mailer", "--event", "2", "--reason", "no such address", "--by", "ada"],
    ["skipped"],
  ])("%s", async (...args) => {
    const { code, out, err } = await command(...args, "--json");
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(shape(JSON.parse(out))).toMatchSnapshot();
  });
});

/** A store that outlives one test: it is disposed of at once, and the tables stay. */
async function onBrokenForAll(): Promise<ReturnType<typeof commandOn>> {
  const store = new PostgresStore({ ...scene.parts, table: "shared" });
  try {
    await fill(store);
  } finally {
    await store.dispose();
  }
  return commandOn(scene, store);
}

async function fill(store: PostgresStore): Promise<void> {
  await store.seed();
  await store.commit("order-1", [{ name: "Placed", data: { total: 1 } }], {
    correlation: "c-1",
    causation: {},
  });
  for (const n of [2, 3])
    await store.commit(`order-${n}`, [{ name: "Placed", data: { total: n } }], {
      correlation: "c-1",
      causation: {},
    });
  await store.commit("order-1", [{ name: "Shipped", data: {} }], {
    correlation: "c-1",
    causation: { event: { id: 1, name: "Placed", stream: "order-1" } },
  });
  await store.subscribe([
    { stream: "mailer", source: "^order-", correlated_at: 4, priority: 10 },
    { stream: "report", source: "order-2", correlated_at: 4, lane: "slow" },
  ]);
  await blockMailer(store);
}

test("no line of text is wider than 80 columns, whatever the names are", async () => {
  const store = await scene.seeded();
  const long = "a-very-long-name-".repeat(12);
  await store.commit(long, [{ name: "SomethingWithALongNameHappened", data: {} }], {
    correlation: long,
    causation: {},
  });
  await store.subscribe([{ stream: long, correlated_at: 1, lane: "a-lane-with-a-long-name" }]);
  const command = commandOn(scene, store);
  for (const args of [["status"], ["lag"], ["events"], ["trace", long]]) {
    const { out } = await command(...args);
    expect(widest(out), args[0]).toBeLessThanOrEqual(80);
  }
});

test("blocked shows the error and the event that it stands at", async () => {
  const { out } = await (await onBroken())("blocked");
  expect(out).toContain("mailer  lane default");
  expect(out).toContain("stands at event 2, Placed of order-2, version 0");
  expect(out).toContain("error: no such address");
});

test("unblock lets the subscription go on", async () => {
  const store = await broken();
  const { code, out } = await commandOn(scene, store)("unblock", "mailer");
  expect([code, out]).toEqual([0, "1 subscription was unblocked.\n"]);
  expect((await store.claim(1, 0, "w", 1_000)).map(({ stream }) => stream)).toEqual(["mailer"]);
});

test("skip goes past the event, and says when it stands elsewhere", async () => {
  const command = await onBroken();
  const refused = await command("skip", "mailer", "--event", "3", "--reason", "why not");
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("stands at event 2, not at 3")]);
  const done = await command(
    "skip",
    "mailer",
    "--event",
    "2",
    "--reason",
    "address was deleted",
    "--by",
    "ada",
  );
  expect([done.code, done.err]).toEqual([0, ""]);
  expect((await command("blocked")).out).toBe("Nothing is blocked.\n");
  expect((await command("skipped")).out).toContain("by ada: address was deleted");
});

test("many are changed only with --yes where nobody can be asked", async () => {
  const store = await broken();
  const command = commandOn(scene, store);
  const refused = await command("reset", "--all");
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("add --yes");
  expect((await command("blocked")).out).toContain("mailer");
  expect((await command("reset", "--all", "--yes")).out).toContain("3 subscriptions were set back");
  expect((await command("blocked")).out).toBe("Nothing is blocked.\n");
});

test("defer and prioritize change what they name", async () => {
  const store = await broken();
  const command = commandOn(scene, store);
  await command("defer", "report", "--until", "1h");
  await command("prioritize", "report", "idle", "--priority", "-3", "--yes");
  const positions = new Map<string, { priority: number; deferred_at?: number }>();
  await store.query_streams(({ stream, priority, deferred_at }) => {
    positions.set(stream, { priority, ...(deferred_at !== undefined && { deferred_at }) });
  });
  expect(positions.get("report")?.deferred_at).toBeGreaterThan(Date.now() + 3_500_000);
  expect([positions.get("report")?.priority, positions.get("idle")?.priority]).toEqual([-3, -3]);
});

test("doctor exits with 1 where something is wrong, and says what to do", async () => {
  const store = await broken();
  await scene.sql.unsafe(`alter sequence ${store.config.table}_id_seq cache 50`);
  const { code, out } = await commandOn(scene, store)("doctor");
  expect(code).toBe(1);
  expect(out).toContain("error sequence-cached");
  expect(out).toContain("→ ");
});

test("tail shows the last events and goes on with new ones, one JSON line each", async () => {
  const store = await broken();
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, "../../src/cli/main.ts"),
      "tail",
      "--json",
      "--last",
      "1",
      "--table",
      store.config.table,
    ],
    { env: { ...process.env, DATABASE_URL: scene.url }, stdio: ["ignore", "pipe", "inherit"] },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => (JSON.parse(String((await lines.next()).value)) as { id: number }).id;
  expect(await next()).toBe(5);
  await store.commit("late", [{ name: "Late", data: {} }], { correlation: "c", causation: {} });
  expect(await next()).toBe(6);
  child.kill("SIGINT");
  const [code] = await once(child, "exit");
  expect(code).toBe(0);
});

describe("wrong use exits with 2 and says what is wrong", () => {
  test.each([
    [["no-such-command"], "unknown command"],
    [["event", "x"], "The id of an event is needed"],
    [["events", "--since", "soon"], "A time is needed"],
    [["unblock"], "Name subscriptions"],
    [["lag", "--limit", "0"], "A whole number above 0"],
  ])("%s", async (args, message) => {
    const { code, err } = await runCommand(args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  test("a stream without events", async () => {
    const { code, err } = await (await onBroken())("stream", "nobody");
    expect(code).toBe(2);
    expect(err).toContain('There is no event in stream "nobody"');
  });
});

test("a server that is not there exits with 1, says why, and shows no password", async () => {
  const { code, err, out } = await runCommand(["status", "--url", "postgres://u:top-secret@127.0.0.1:1/x"]);
  expect(code).toBe(1);
  expect(err).toContain("ECONNREFUSED");
  expect(err + out).not.toContain("top-secret");
});

test("an option behind the command counts more than one before it, and than the environment", async () => {
  const store = await broken();
  const { out } = await runCommand(
    ["--table", "nowhere", "events", "--url", scene.url, "--table", store.config.table, "--limit", "1"],
    { DATABASE_URL: "postgres://127.0.0.1:1/x" },
  );
  expect(out).toContain("other-1");
});
