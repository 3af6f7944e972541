/** What each view gets, with a role that may only read. */
import { describe, expect, test } from "vitest";
import type { ConsoleOptions } from "../../src/console/start.ts";
import type { PostgresStore } from "../../src/index.ts";
import { useScene } from "../postgres/fixture.ts";
import { brokenStore, Client, startOn, withPositions } from "./fixture.ts";

const scene = useScene();

/** A console that connects with nothing but SELECT on the store's tables, where such a role can be made. */
async function readerOf({ config: { schema, table } }: PostgresStore): Promise<Partial<ConsoleOptions>> {
  const role = await scene.role();
  if (!role) return {};
  for (const name of [table, `${table}_streams`, `${table}_correlated`])
    await scene.sql.unsafe(`grant select on "${schema}"."${name}" to ${role.user}`);
  return { databases: [{ ...scene.parts, ...role, schema, table }] };
}

const opened = async (options: Partial<ConsoleOptions> = {}) => {
  const broken = await brokenStore(scene);
  const running = await startOn(scene, broken.store, { ...(await readerOf(broken.store)), ...options });
  return { ...broken, client: await Client.of(running) };
};

test("a role that may only read suffices for every view", async () => {
  const { client, store, last } = await opened();
  await withPositions(scene, store, last);
  await scene.sql.unsafe(`grant select on "${store.config.schema}".act_positions to public`);
  const answers = await Promise.all([
    client.get("/api/session"),
    client.get("/api/tenants"),
    client.get("/api/overview"),
    client.get("/api/doctor"),
    client.get("/api/storage"),
    client.get("/api/log"),
    client.get("/api/names"),
    client.get("/api/streams"),
    client.get("/api/event/:id", {}, 1),
    client.get("/api/stream", { stream: "order-1" }),
    client.get("/api/stream/version", { stream: "order-1", version: 0 }),
    client.get("/api/stream/state", { stream: "order-1", version: 0 }),
    client.get("/api/trace", { correlation: "place-1" }),
    client.get("/api/reactions"),
    client.get("/api/reaction", { stream: "mailer" }),
    client.get("/api/skipped"),
    client.get("/api/projections"),
    client.get("/api/audit"),
  ]);
  const revealed = await client.post("/api/reveal", { id: 1 });
  expect(revealed.body.pii).toMatchObject({ customer: "Customer 1" });
  // Personal data is in no other answer.
  expect(JSON.stringify(answers)).not.toMatch(/Customer \d|example\.com|1990-04-01/);
});

test("the console's sessions cannot write, whatever the role may do", async () => {
  const broken = await brokenStore(scene);
  const running = await startOn(scene, broken.store);
  const client = await Client.of(running);
  await client.get("/api/overview");
  const sessions = await scene.sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity
    where application_name = 'act-drizzle console' and datname = ${scene.database.name}`;
  expect(sessions[0]?.count).toBeGreaterThan(0);
  expect(sessions[0]?.count).toBeLessThanOrEqual(2);
  const { findings } = await client.get("/api/doctor");
  expect(findings.filter(({ code }) => code === "read-only")).toEqual([]);
});

test("the overview shows what is behind, blocked, leased and deferred", async () => {
  const { client, last, poison } = await opened();
  const overview = await client.get("/api/overview");
  expect(overview.overview.events).toMatchObject({ firstId: 1, lastId: last });
  expect(overview.overview.subscriptions).toMatchObject({
    ...{ all: { count: 7 }, behind: { count: 5 }, blocked: { count: 1 } },
    ...{ leased: { count: 1 }, deferred: { count: 1 } },
  });
  expect(overview.blocked.map(({ stream, next, error }) => [stream, next?.id, error])).toEqual([
    ["mailer", poison, "SMTP 550: no such mailbox"],
  ]);
  expect(overview.leases.map(({ stream, holder, leftMs }) => [stream, holder, leftMs > 0])).toEqual([
    ["exports", "worker-gone", false],
    ["report", "worker-2", true],
  ]);
  expect(overview.correlators).toMatchObject([{ key: "" }, { key: "registry-1", holder: "worker-1" }]);
  expect(overview.rate.minute.events).toBeGreaterThan(50);
  expect(overview.oldestLagMs).toBeGreaterThan(0);
  expect(overview.latencyMs).toBeGreaterThan(0);
});

describe("the log", () => {
  test("is turned page by page to its beginning and back, and no event is lost", async () => {
    const { client, last } = await opened();
    const ids: number[] = [];
    let page = await client.get("/api/log", { limit: 7 });
    for (;;) {
      ids.push(...page.events.map(({ id }) => id));
      if (page.older === undefined) break;
      page = await client.get("/api/log", { limit: 7, before: page.older });
    }
    expect(ids[0]).toBe(last);
    expect(ids).toEqual(ids.toSorted((one, other) => other - one));
    const forward: number[] = [];
    for (let after = 0; after < last; ) {
      const next = await client.get("/api/log", { limit: 7, after });
      forward.push(...next.events.map(({ id }) => id).toReversed());
      after = next.newer ?? last;
    }
    expect(forward).toEqual(ids.toReversed());
  });

  test.each([
    [{ stream: "^order-" }, 17],
    [{ stream: "order-1", exact: "1" }, 3],
    [{ name: "OrderPaid" }, 6],
    [{ correlation: "place-2" }, 5],
    [{ actor: "Ada" }, 12],
    [{ actor: "7" }, 12],
    [{ actor: "Ada", stream: "^counter" }, 7],
    [{ actor: "Ada", name: "OrderPlaced" }, 2],
    [{ actor: "Ada", correlation: "place-3", stream: "order-3", exact: "1" }, 1],
    [{ actor: "nobody" }, 0],
    [{ stream: "ledger" }, 3],
    [{ stream: "^order-", name: "OrderShipped", correlation: "place-3" }, 1],
    [{ since: "2020-01-01T00:00:00Z", name: "OrderPaid" }, 6],
    [{ until: "2020-01-01T00:00:00Z" }, 0],
    [{ since: "2120-01-01T00:00:00Z" }, 0],
  ])("filtered by %o has %i events", async (filter, count) => {
    const { client } = await opened();
    const { events, older } = await client.get("/api/log", { ...filter, limit: 500 });
    expect(events).toHaveLength(count);
    expect(older).toBeUndefined();
  });

  test("between two times has the events of that time, to the millisecond", async () => {
    const { client, store } = await opened();
    const { schema, table } = store.config;
    await scene.sql.unsafe(
      `update "${schema}"."${table}" set created = timestamptz '2026-01-01Z' + id * interval '1 second'`,
    );
    const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
    const { events } = await client.get("/api/log", { since: at(10), until: at(14) });
    expect(events.map(({ id }) => id)).toEqual([13, 12, 11]);
  });

  test("shows no data unless it is asked for", async () => {
    const { client } = await opened();
    const find = async (payload?: "1") =>
      (await client.get("/api/log", { name: "OrderPlaced", limit: 1, payload })).events[0];
    expect(await find()).toMatchObject({ keys: ["lines", "total"], personal: true });
    expect(await find()).not.toHaveProperty("data");
    expect(await find("1")).toMatchObject({ data: { total: 600 } });
  });

  test("that is empty has no page before and none after", async () => {
    const store = await scene.seeded();
    const client = await Client.of(await startOn(scene, store));
    expect(await client.get("/api/log")).toEqual({ events: [], searched: { from: 0, to: -1 } });
  });
});

describe("an event", () => {
  test("has its cause, its effects, its neighbours, and the places of its Dates", async () => {
    const { client, poison } = await opened();
    const shipped = await client.get("/api/event/:id", {}, poison);
    expect(shipped).toMatchObject({
      ...{ dates: [["due"]], causeGone: false, effects: [], effectsCut: false },
      cause: { name: "OrderPaid", stream: "order-3" },
      previous: { name: "OrderPaid", version: 1 },
      event: { data: { carrier: "post", due: "2026-01-03T00:00:00.000Z" } },
    });
    expect(shipped.next).toBeUndefined();
    const placed = await client.get("/api/event/:id", {}, 1);
    expect(placed.effects.map(({ name }) => name)).toEqual(["StockReserved", "MailQueued"]);
  });

  test("whose cause was deleted says so", async () => {
    const { client, store } = await opened();
    await scene.sql.unsafe(`delete from "${store.config.schema}"."${store.config.table}" where id = 1`);
    expect(await client.get("/api/event/:id", {}, 2)).toMatchObject({ causeGone: true });
    expect((await client.ask("/api/event/1")).status).toBe(404);
  });

  test("whose personal data is encrypted says that the console has no key", async () => {
    const key = new Uint8Array(32).fill(7);
    const store = await scene.seeded({ pii_encryption: { key } });
    const meta = { correlation: "c", causation: {} };
    await store.commit("s", [{ name: "Named", data: {}, pii: { name: "secret" } }], meta);
    const client = await Client.of(await startOn(scene, store));
    const { body } = await client.post("/api/reveal", { id: 1 });
    expect(body).toEqual({ dates: [], encrypted: true });
  });
});

describe("a stream", () => {
  test("shows its snapshots, what was truncated, and that it was closed", async () => {
    const { client } = await opened();
    expect(await client.get("/api/stream", { stream: "ledger-1" })).toMatchObject({
      ...{ truncated: true, closed: false, firstVersion: 10 },
      ...{ snapshot: { version: 10 }, head: { version: 12 }, events: { count: 3, exact: true } },
    });
    expect(await client.get("/api/stream", { stream: "counter-1" })).toMatchObject({
      ...{ truncated: false, firstVersion: 0, snapshot: { version: 10 } },
    });
    expect(await client.get("/api/stream", { stream: "order-6" })).toMatchObject({ closed: true });
    expect(await client.get("/api/stream", { stream: "nobody" })).toMatchObject({
      ...{ events: { count: 0 }, history: [], truncated: false },
    });
  });

  test("is read page by page to its first event", async () => {
    const { client } = await opened();
    const first = await client.get("/api/stream", { stream: "counter-1", limit: 8 });
    expect(first.history.map(({ version }) => version)).toEqual([12, 11, 10, 9, 8, 7, 6, 5]);
    const rest = await client.get("/api/stream", { stream: "counter-1", limit: 8, before: first.older });
    expect(rest.history.map(({ version }) => version)).toEqual([4, 3, 2, 1, 0]);
    expect(rest.older).toBeUndefined();
  });

  test("names those who read it, by name, by pattern and without a source, and how much waits", async () => {
    const { client } = await opened();
    const { readers, readersCut } = await client.get("/api/stream", { stream: "order-2" });
    expect(readers.map(({ stream, kind, waiting }) => [stream, kind, waiting.count])).toEqual([
      ["audit", "all", 0],
      ["everything", "all", 3],
      ["invoices", "stream", 3],
      ["mailer", "pattern", 0],
      ["report", "pattern", 3],
    ]);
    expect(readersCut).toBe(false);
  });

  test("is found by the beginning of its name", async () => {
    const { client } = await opened();
    expect(await client.get("/api/streams", { prefix: "order-", limit: 2 })).toEqual({
      streams: ["order-1", "order-2"],
      next: "order-2",
    });
    const rest = await client.get("/api/streams", { prefix: "order-", limit: 20, after: "order-2" });
    expect(rest).toEqual({ streams: ["order-3", "order-4", "order-5", "order-6"] });
    expect((await client.get("/api/streams")).streams[0]).toBe("counter-1");
  });

  test("is folded into the app's state at any version, from the snapshot before it", async () => {
    const { client } = await opened();
    const at = (stream: string, version: number) => client.get("/api/stream/state", { stream, version });
    expect(await at("counter-1", 3)).toEqual({
      ...{ stream: "counter-1", version: 3, name: "Counter", state: { count: 10 }, patches: 4, cut: false },
    });
    expect(await at("counter-1", 12)).toMatchObject({
      state: { count: 74 },
      patches: 2,
      fromSnapshot: 10,
    });
    expect(await at("ledger-1", 11)).toMatchObject({ name: "Counter", fromSnapshot: 10, patches: 1 });
    expect(await at("order-1", 2)).toMatchObject({
      name: "Order",
      state: { status: "shipped", total: 100, due: "2026-01-01T00:00:00.000Z" },
    });
    const none = await client.ask("/api/stream/state?stream=ping&version=0");
    expect([none.status, none.body.error?.code]).toEqual([422, "no-state"]);
    const beyond = await client.ask("/api/stream/state?stream=order-1&version=99");
    expect(beyond.status).toBe(404);
  });

  test("is not folded without --app, and the answer says what to do", async () => {
    const { client } = await opened({ app: undefined });
    const { status, body } = await client.ask("/api/stream/state?stream=order-1&version=0");
    expect([status, body.error?.code]).toEqual([422, "no-state"]);
    expect(body.error?.message).toMatch(/--app/);
  });
});

test("a trace is a tree over streams, with the time between cause and effect", async () => {
  const { client } = await opened();
  const trace = await client.get("/api/trace", { correlation: "place-1" });
  expect(trace.events.map(({ name, depth, loop }) => [name, depth, loop])).toEqual([
    ["OrderPlaced", 1, 0],
    ["StockReserved", 2, 0],
    ["MailQueued", 2, 0],
    ["OrderPaid", 3, 0],
    ["OrderShipped", 4, 0],
  ]);
  expect(trace).toMatchObject({ streams: ["order-1", "stock-sku-1", "mail-1"], depth: 4, cut: false });
  const [root, reserved] = trace.events;
  expect(reserved).toMatchObject({ parent: root?.id });
  expect(reserved?.afterMs).toBe(reserved?.offsetMs);
  const loop = await client.get("/api/trace", { correlation: "loop", limit: 5 });
  expect(loop.events.map(({ loop: times }) => times)).toEqual([0, 0, 1, 1, 2]);
  expect(loop.cut).toBe(true);
  expect((await client.ask("/api/trace?correlation=nothing")).status).toBe(404);
});

describe("reactions", () => {
  const names = async (client: Client, query: Record<string, string | number | undefined>) =>
    (await client.get("/api/reactions", query)).reactions.map(({ stream }) => stream);

  test("are sorted and filtered", async () => {
    const { client } = await opened();
    const all = ["audit", "everything", "exports", "invoices", "mailer", "old-mailer", "report"];
    expect(await names(client, {})).toEqual(all);
    expect(await names(client, { sort: "stream", desc: "1" })).toEqual(all.toReversed());
    expect((await names(client, { sort: "priority", desc: "1" }))[0]).toBe("mailer");
    expect((await names(client, { sort: "at", desc: "1" }))[0]).toBe("audit");
    expect(await names(client, { state: "blocked" })).toEqual(["mailer"]);
    expect(await names(client, { state: "leased" })).toEqual(["report"]);
    expect(await names(client, { state: "deferred" })).toEqual(["invoices"]);
    expect(await names(client, { state: "skipped" })).toEqual(["old-mailer"]);
    expect(await names(client, { kind: "all" })).toEqual(["audit", "everything"]);
    expect(await names(client, { kind: "pattern" })).toEqual(["exports", "mailer", "report"]);
    expect(await names(client, { lane: "slow" })).toEqual(["report"]);
    expect(await names(client, { q: "MAIL" })).toEqual(["mailer", "old-mailer"]);
  });

  test.each([{}, { sort: "at" }, { sort: "attempts", desc: "1" }, { state: "behind" }])(
    "are turned page by page, %o",
    async (query) => {
      const { client } = await opened();
      const whole = await names(client, query);
      const found: string[] = [];
      let after: string | undefined;
      do {
        const page = await client.get("/api/reactions", { ...query, limit: 2, after });
        found.push(...page.reactions.map(({ stream }) => stream));
        after = page.next;
      } while (after !== undefined);
      expect(found).toEqual(whole);
    },
  );

  test("each have the event that they get next", async () => {
    const { client, poison, skipped } = await opened();
    const { reactions, count } = await client.get("/api/reactions");
    expect(count).toEqual({ count: 7, exact: true });
    const next = Object.fromEntries(reactions.map(({ stream, next: event }) => [stream, event?.name]));
    expect(next).toEqual({
      ...{ audit: undefined, everything: "OrderPlaced", exports: "StockReserved", invoices: "OrderPlaced" },
      ...{ mailer: "OrderShipped", "old-mailer": "OrderPaid", report: "OrderPlaced" },
    });
    const mailer = reactions.find(({ stream }) => stream === "mailer");
    expect(mailer).toMatchObject({ blocked: true, attempts: 1, lane: "mail", priority: 10, kind: "pattern" });
    expect(mailer?.next?.id).toBe(poison);
    expect((await client.get("/api/skipped")).skipped.map(({ event }) => event.id)).toEqual([skipped]);
  });
});

test("projections show their positions, and a rebuild its progress", async () => {
  const { client, store, last } = await opened();
  await withPositions(scene, store, last);
  await scene.sql.unsafe(`grant select on "${store.config.schema}".act_positions to public`);
  const { tables, lastId } = await client.get("/api/projections");
  expect(lastId).toBe(last);
  expect(tables).toMatchObject([
    {
      table: "act_positions",
      projections: [
        {
          ...{ projection: "balances", generation: 1, lowest: Math.floor(last / 2), highest: last },
          ...{ builtUpTo: Math.floor(last / 4), rebuilding: false, targets: { count: 2, exact: true } },
          positions: [{ target: "order-2", handlers: ["add"] }, { target: "order-1" }],
        },
        { projection: "hot_files", generation: 2, rebuilding: true, progress: Math.floor(last / 2) / last },
      ],
    },
  ]);
});

test("a table of positions that the role may not read says so", async () => {
  const { client, store, last } = await opened();
  await withPositions(scene, store, last);
  const { tables } = await client.get("/api/projections");
  if (!(await scene.role())) return;
  expect(tables).toMatchObject([
    { table: "act_positions", problem: "The role may not read it.", projections: [] },
  ]);
});

describe("tenants", () => {
  test("are found, and each request chooses one", async () => {
    const broken = await brokenStore(scene);
    const { schema, table } = broken.store.config;
    const other = await scene.seeded({ schema: `${schema}_b`, table: "log" });
    await other.commit("only-here", [{ name: "Happened", data: {} }], { correlation: "c", causation: {} });
    const client = await Client.of(await startOn(scene, broken.store));
    const { stores, defaultStore } = await client.get("/api/session");
    expect(defaultStore).toBe(`${schema}.${table}`);
    expect(stores.map(({ id }) => id)).toContain(`${schema}_b.log`);
    const { events } = await client.get("/api/log", { store: `${schema}_b.log` });
    expect(events.map(({ stream }) => stream)).toEqual(["only-here"]);
    const { tenants } = await client.get("/api/tenants", { limit: 200 });
    const found = tenants.find(({ store }) => store.id === `${schema}_b.log`);
    expect(found).toMatchObject({ lastId: 1, behind: { count: 0 }, blocked: { count: 0 } });
    const mine = tenants.find(({ store }) => store.id === defaultStore);
    expect(mine).toMatchObject({ blocked: { count: 1, exact: true } });
    const first = await client.get("/api/tenants", { limit: 1 });
    expect(first.next).toBe(first.tenants[0]?.store.id);
  });

  test("may be a list, in which one that is not there says so", async () => {
    const store = await scene.seeded();
    const { schema, table } = store.config;
    const tenants = [{ schema: "no_such_tenant", table }];
    const client = await Client.of(await startOn(scene, store, { tenants }));
    const { tenants: found } = await client.get("/api/tenants");
    expect(found.map(({ store: { id } }) => id)).toEqual([`${schema}.${table}`, `no_such_tenant.${table}`]);
    expect(found[1]?.problem).toMatch(/tables are missing|schema is missing/);
  });

  test("of a second database have its name in front", async () => {
    const broken = await brokenStore(scene);
    const { schema, table } = broken.store.config;
    const parts = { ...scene.parts, schema, table };
    const client = await Client.of(await startOn(scene, broken.store, { databases: [parts, parts] }));
    const { stores } = await client.get("/api/session");
    const second = stores.find(({ id }) => id === `1/${schema}.${table}`);
    expect(second?.label).toMatch(new RegExp(`^${scene.database.name}@\\S+/${schema}\\.${table}$`));
    expect((await client.get("/api/log", { store: second?.id, limit: 1 })).lastId).toBe(broken.last);
  });
});
