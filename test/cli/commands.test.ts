/** Each command on a store with a backlog and a blocked subscription: its text, its JSON, its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { beforeAll, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { blockMailer, cause, withBacklog } from "../admin/fixture.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { BIN, cleanEnvironment, commandOn, runCommand, widest } from "./command.ts";
import { inFolder } from "./folder.ts";

const fixture = useDatabase();
const broken = async (): Promise<PostgresStore> => {
  const store = await withBacklog(fixture);
  await blockMailer(store);
  return store;
};
const onBroken = async () => commandOn(fixture, await broken());

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
    "bench",
    "completion",
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
    ["defer", "report", "--until", "1h"],
    ["prioritize", "report", "--priority", "3"],
    ["release", "report"],
    ["forget", "order-1", "--yes"],
    ["backfill", "./app.mjs"],
    ["completion", "fish"],
    ["bench", "--seconds", "1", "--yes"],
  ])("%s", async (...args) => {
    const { code, out, err } = await command(...inFolder()(args), "--json");
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(shape(JSON.parse(out))).toMatchSnapshot();
  });
});

/** A store that outlives one test: it is disposed of at once, and the tables stay. */
async function onBrokenForAll(): Promise<ReturnType<typeof commandOn>> {
  const store = new PostgresStore({ ...fixture.parts, table: "shared" });
  try {
    await fill(store);
  } finally {
    await store.dispose();
  }
  return commandOn(fixture, store);
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
  await store.claim(1, 0, "killed", 3_600_000, "slow");
}

test("blocked shows the error and the event that it stands at", async () => {
  const { out } = await (await onBroken())("blocked");
  expect(out).toContain("mailer  lane default");
  expect(out).toContain("stands at event 2, Placed of order-2, version 0");
  expect(out).toContain("error: no such address");
  expect(out).toContain("If the app passes over it");
});

test("a bulk command that fails halfway says how many subscriptions were changed", async () => {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  const streams = `"${schema}"."${table}_streams"`;
  await fixture.sql.unsafe(`
    insert into ${streams} (stream, at, retry, priority, lane)
    select 's' || lpad(n::text, 6, '0'), 5, 0, 0, 'default' from generate_series(1, 20001) n;
    analyze ${streams};
    create function "${schema}"."${table}_fail"() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
    create trigger fail before update on ${streams} for each row when (old.stream = 's020001')
      execute function "${schema}"."${table}_fail"()`);
  const { code, err } = await commandOn(fixture, store)("reset", "--all", "--yes");
  const [{ changed } = { changed: 0 }] = await fixture.sql.unsafe<{ changed: number }[]>(
    `select count(*)::int as changed from ${streams} where at = -1`,
  );
  expect(changed).toBeGreaterThan(0);
  expect(code).toBe(1);
  expect(err).toContain(
    `At least ${changed.toLocaleString("en-US")} subscriptions were set back to the beginning before the failure. If you run the command again, it changes all that match then.\n`,
  );
});

test("unblock lets the subscription go on", async () => {
  const store = await broken();
  const { code, out } = await commandOn(fixture, store)("unblock", "mailer");
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
  const command = commandOn(fixture, store);
  const refused = await command("reset", "--all");
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("add --yes");
  expect((await command("blocked")).out).toContain("mailer");
  expect((await command("reset", "--all", "--yes")).out).toContain("3 subscriptions were set back");
  expect((await command("blocked")).out).toBe("Nothing is blocked.\n");
});

test("control characters of stored names, data and errors do not reach the terminal", async () => {
  const store = await fixture.seeded();
  const evil = "evil\u001b[31m\u009b31m\u007f";
  await store.commit(evil, [{ name: evil, data: { [evil]: evil } }], cause("c-1"));
  await store.subscribe([{ stream: evil, source: evil, correlated_at: 1 }]);
  const [lease] = await store.claim(1, 0, "w", 60_000);
  if (!lease) throw new Error("It was not claimed");
  await store.block([{ ...lease, error: evil }]);
  const command = commandOn(fixture, store);
  const calls = [
    ["events", "--payload"],
    ["event", "1"],
    ["stream", evil, "--payload"],
    ["trace", "c-1"],
    ["blocked"],
    ["lag"],
    ["reset", "--all", "--dry-run"],
    ["skip", evil, "--event", "2", "--reason", "none", "--yes"],
  ];
  for (const args of calls) {
    const { out, err } = await command(...args);
    expect([args, `${out}${err}`.match(/[^\P{Cc}\n]/u)]).toEqual([args, null]);
  }
});

test("defer and prioritize change what they name", async () => {
  const store = await broken();
  const command = commandOn(fixture, store);
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
  await fixture.sql.unsafe(`alter sequence ${store.config.table}_id_seq cache 50`);
  const { code, out } = await commandOn(fixture, store)("doctor");
  expect(code).toBe(1);
  expect(out).toContain("error sequence-cached");
  expect(out).toContain("→ ");
});

test("tail shows the last events and goes on with new ones, one JSON line each", async () => {
  const store = await broken();
  const child = spawn(
    process.execPath,
    [BIN, "tail", "--json", "--last", "1", "--table", store.config.table],
    { env: { ...cleanEnvironment(), DATABASE_URL: fixture.url }, stdio: ["ignore", "pipe", "inherit"] },
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
    ["--table", "nowhere", "events", "--url", fixture.url, "--table", store.config.table, "--limit", "1"],
    { DATABASE_URL: "postgres://127.0.0.1:1/x" },
  );
  expect(out).toContain("other-1");
});

describe("events that the app passes over", () => {
  /** The mailer stands behind event 1; the next event of its source is not one of those that it reacts to. */
  const onlyShipped = ["--names", "Shipped"];

  test("are not the next event with --names", async () => {
    const command = await onBroken();
    expect((await command("blocked")).out).toContain("stands at event 2, Placed of order-2");
    expect((await command("blocked", ...onlyShipped)).out).toContain("stands at event 4, Shipped of order-1");
    const { out } = await command("lag", "--names", "Nothing", "--json");
    expect(JSON.parse(out).find(({ stream }: { stream: string }) => stream === "report")).toMatchObject({
      stream: "report",
      events: { count: 0, exact: true },
    });
  });

  test("are passed by skip with --names, which without refuses, and says so", async () => {
    const store = await broken();
    const command = commandOn(fixture, store);
    const skip = ["skip", "mailer", "--event", "4", "--reason", "broken"];
    const refused = await command(...skip);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain("stands at event 2, not at 4");
    expect(refused.err).toContain("(--names, --app)");
    expect((await command(...skip, ...onlyShipped)).code).toBe(0);
    const found: number[] = [];
    await store.query_streams(({ at }) => void found.push(at), { stream: "mailer", stream_exact: true });
    expect(found).toEqual([4]);
  });

  test("are known from the app", async () => {
    const store = await broken();
    const command = commandOn(fixture, store);
    await store.subscribe([{ stream: "counter", source: "other-1", correlated_at: 5 }]);
    const place = inFolder();
    const eventsOf = async (...more: string[]) => {
      const found: { stream: string; events: { count: number } }[] = JSON.parse(
        (await command("lag", "--json", ...place(more))).out,
      );
      return found.find(({ stream }) => stream === "counter")?.events.count;
    };
    expect(await eventsOf()).toBe(1);
    expect(await eventsOf("--app", "./app.mjs")).toBe(0);
    const both = await command("lag", ...place(["--app", "./app.mjs"]), ...onlyShipped);
    expect([both.code, both.err]).toEqual([2, "act-drizzle: Give --names or --app, not both.\n"]);
  });
});

describe("bench", () => {
  test("asks before it runs on a database that has tables, and leaves nothing behind", async () => {
    const store = await broken();
    const command = commandOn(fixture, store);
    const schemas = async () =>
      fixture.sql`select nspname from pg_namespace where nspname like 'act_drizzle_bench%'`;
    const refused = await command("bench");
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(/The database has \d+ tables.*add --yes/);
    const { code, out, err } = await command("bench", "--seconds", "1", "--yes");
    expect([code, err]).toEqual([0, ""]);
    expect(widest(out)).toBeLessThanOrEqual(80);
    expect(out).toMatch(/commit, 32 in flight +[\d,]+ /);
    expect(out).toMatch(/commit to notification +\d/);
    expect(await schemas()).toEqual([]);
  });
});
