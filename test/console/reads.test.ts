/** What the overview, the reactions, the projections and the tenants get, with a role that may only read. */
import { describe, expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";
import { brokenStore, Client, openBroken, startOn, withPositions } from "./fixture.ts";

const fixture = useDatabase();
const opened = () => openBroken(fixture);

test("a role that may only read suffices for every view", async () => {
  const { client, store, last } = await opened();
  await withPositions(fixture, store, last);
  await fixture.sql.unsafe(`grant select on "${store.config.schema}".act_positions to public`);
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
  const broken = await brokenStore(fixture);
  const running = await startOn(fixture, broken.store);
  const client = await Client.of(running);
  await client.get("/api/overview");
  const sessions = await fixture.sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity
    where application_name = 'act-drizzle console' and datname = ${fixture.database.name}`;
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
  await withPositions(fixture, store, last);
  await fixture.sql.unsafe(`grant select on "${store.config.schema}".act_positions to public`);
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
  await withPositions(fixture, store, last);
  const { tables } = await client.get("/api/projections");
  if (!(await fixture.role())) return;
  expect(tables).toMatchObject([
    { table: "act_positions", problem: "The role may not read it.", projections: [] },
  ]);
});

describe("tenants", () => {
  test("are found, and each request chooses one", async () => {
    const broken = await brokenStore(fixture);
    const { schema, table } = broken.store.config;
    const other = await fixture.seeded({ schema: `${schema}_b`, table: "log" });
    await other.commit("only-here", [{ name: "Happened", data: {} }], { correlation: "c", causation: {} });
    const client = await Client.of(await startOn(fixture, broken.store));
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

  test("have the positions beside their own log: those of another store are named, and not measured by this log", async () => {
    const broken = await brokenStore(fixture);
    const other = await fixture.seeded({ schema: `${broken.store.config.schema}_p` });
    await withPositions(fixture, other, 3);
    const client = await Client.of(await startOn(fixture, broken.store));
    const { schema, table } = other.config;
    const here = await client.get("/api/projections");
    expect(here.tables).toEqual([]);
    expect(here.elsewhere).toEqual([{ schema, table: "act_positions", store: `${schema}.${table}` }]);
    const there = await client.get("/api/projections", { store: `${schema}.${table}` });
    expect(there).toMatchObject({ tables: [{ schema, table: "act_positions" }], elsewhere: [] });
  });

  test("may be a list, in which one that is not there says so", async () => {
    const store = await fixture.seeded();
    const { schema, table } = store.config;
    const tenants = [{ schema: "no_such_tenant", table }];
    const client = await Client.of(await startOn(fixture, store, { tenants }));
    const { tenants: found } = await client.get("/api/tenants");
    expect(found.map(({ store: { id } }) => id)).toEqual([`${schema}.${table}`, `no_such_tenant.${table}`]);
    expect(found[1]?.problem).toMatch(/tables are missing|schema is missing/);
  });

  test("of a second database have its name in front", async () => {
    const broken = await brokenStore(fixture);
    const { schema, table } = broken.store.config;
    const parts = { ...fixture.parts, schema, table };
    const client = await Client.of(await startOn(fixture, broken.store, { databases: [parts, parts] }));
    const { stores } = await client.get("/api/session");
    const second = stores.find(({ id }) => id === `1/${schema}.${table}`);
    expect(second?.label).toMatch(new RegExp(`^${fixture.database.name}@\\S+/${schema}\\.${table}$`));
    expect((await client.get("/api/log", { store: second?.id, limit: 1 })).lastId).toBe(broken.last);
  });
});
