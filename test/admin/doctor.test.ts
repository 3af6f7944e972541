/** Faults that are made on purpose: doctor names exactly each of them. */
import { describe, expect, onTestFinished, test } from "vitest";
import { findings } from "../../src/admin/doctor/checks.ts";
import { type Facts, readFacts } from "../../src/admin/doctor/facts.ts";
import { Admin, type Finding } from "../../src/admin/index.ts";
import { contextOf } from "../../src/context.ts";
import type { PostgresStore } from "../../src/index.ts";
import { namesOf } from "../../src/schema/names.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";
import { cause, withBacklog } from "./fixture.ts";

const fixture = useDatabase();

/** What a server may have by itself, whoever looks at it: old versions, and other test files' load. */
const OF_SERVER = new Set<Finding["code"]>(["server-end-of-life", "connections-short", "vacuum-held-back"]);
const codes = async (store: PostgresStore, options = {}) =>
  (await new Admin(store).doctor(options)).map(({ code }) => code).filter((code) => !OF_SERVER.has(code));

const sequenceOf = ({ config }: PostgresStore) => `"${config.schema}"."${config.table}_id_seq"`;

describe("nothing is found", () => {
  test("on a new store", async () => {
    expect(await codes(await fixture.seeded())).toEqual([]);
  });

  test("on a store with events and work, that hears its notifications", async () => {
    const store = await withBacklog(fixture);
    expect(await codes(store, { listen: true })).toEqual([]);
  });
});

test("a store without tables", async () => {
  expect(await codes(fixture.store())).toEqual(["not-seeded"]);
});

test("a server that is not there", async () => {
  const store = fixture.store({ port: 1, connectionTimeoutMillis: 1_000 });
  expect(await codes(store)).toEqual(["unreachable"]);
});

test.each([
  ["a cached sequence", "alter sequence % cache 50", "sequence-cached"],
  ["an increment of two", "alter sequence % increment 2", "sequence-altered"],
  ["a sequence that cycles", "alter sequence % cycle", "sequence-altered"],
])("%s", async (_, statement, code) => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(statement.replace("%", sequenceOf(store)));
  expect(await codes(store)).toEqual([code]);
});

test("rows that came in with ids of their own", async () => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(
    `insert into ${store.config.table} (id, name, data, stream, version, meta) values (900, 'Copied', '{}', 'copy', 0, '{}')`,
  );
  expect(await codes(store)).toEqual(["sequence-behind"]);
});

test.each([
  ["new.id := new.id + 1000;", ["ids-set-by-trigger"]],
  ['-- our ids\n NEW."id" = new.id + 1000;', ["ids-set-by-trigger"]],
  ["if new.id = 5 then raise notice 'five'; end if;", []],
])("a trigger that says %j: %j", async (body, found) => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(`create function ${store.config.table}_ids() returns trigger language plpgsql as
    $$ begin ${body} return new; end $$`);
  await fixture.sql.unsafe(`create trigger own_ids before insert on ${store.config.table}
    for each row execute function ${store.config.table}_ids()`);
  expect(await codes(store)).toEqual(found);
});

test.each([
  ["an unlogged log", "alter table % set unlogged", "tables-unlogged"],
  [
    "a rule that makes each commit fail",
    "create rule own as on insert to % do also select 1",
    "tables-with-rules",
  ],
])("%s", async (_, statement, code) => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(statement.replace("%", store.config.table));
  expect(await codes(store)).toEqual([code]);
});

test("an index that was dropped", async () => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(`drop index ${store.config.table}_name_id_ix`);
  expect(await codes(store)).toEqual(["schema-drift"]);
});

test.each(["2099-01-01", "infinity"])("an event from the future: %s", async (created) => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(`update ${store.config.table} set created = '${created}' where id = 5`);
  expect(await codes(store)).toEqual(["created-in-future"]);
  expect((await new Admin(store).overview()).events.lastCreated?.getTime()).toBeGreaterThan(Date.now());
});

test("subscriptions without a work mark", async () => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(`insert into ${store.config.table}_streams (stream) values ('old')`);
  expect(await codes(store)).toEqual(["unmarked-subscriptions"]);
});

test("correlators of registries that are gone", async () => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(
    `insert into ${store.config.table}_correlated (key) select 'gone-' || n from generate_series(1, 25) n`,
  );
  expect(await codes(store)).toEqual(["idle-correlators"]);
});

test("autovacuum that is off for a table", async () => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(`alter table ${store.config.table} set (autovacuum_enabled = false)`);
  expect(await codes(store)).toEqual(["autovacuum-off"]);
});

test("a large table without statistics, and one with many dead rows", async () => {
  const store = await fixture.seeded();
  const table = `${store.config.table}_streams`;
  await fixture.sql.unsafe(`alter table ${table} set (autovacuum_enabled = false)`);
  await fixture.sql.unsafe(
    `insert into ${table} (stream, at) select 's' || n, 1 from generate_series(1, 150000) n`,
  );
  await fixture.sql.unsafe(`delete from ${table} where right(stream, 1) not in ('0', '1', '2')`);
  // A session sends its counts to the server with one of its next statements.
  const flushed = async () => {
    await fixture.sql`select 1`;
    return codes(store);
  };
  await expect.poll(flushed, { timeout: 10_000 }).toEqual(["autovacuum-off", "bloat", "no-statistics"]);
});

test("tables that everybody may read", async () => {
  const store = await withBacklog(fixture);
  await fixture.sql.unsafe(`grant select on ${store.config.table} to public`);
  expect(await codes(store)).toEqual(["tables-exposed"]);
});

test("rows that row level security hides", async (context) => {
  const role = await fixture.role();
  if (!role) return context.skip("the server's user may not create roles");
  const owner = await withBacklog(fixture);
  const { table } = owner.config;
  await fixture.sql.unsafe(`grant select on ${table}, ${table}_streams, ${table}_correlated to ${role.user}`);
  await fixture.sql.unsafe(`grant usage, select on ${sequenceOf(owner)} to ${role.user}`);
  await fixture.sql.unsafe(`alter table ${table} enable row level security`);
  const store = fixture.store({ ...role, table });
  expect(await codes(store)).toEqual(["rows-hidden"]);
});

test("transactions that are read-only by default, and another isolation", async (context) => {
  const role = await fixture.role();
  if (!role) return context.skip("the server's user may not create roles");
  const { config } = await withBacklog(fixture);
  const { table } = config;
  await fixture.sql.unsafe(`alter role ${role.user} set default_transaction_read_only = on`);
  await fixture.sql.unsafe(`alter role ${role.user} set default_transaction_isolation = 'serializable'`);
  await fixture.sql.unsafe(`grant select on ${table}, ${table}_streams, ${table}_correlated to ${role.user}`);
  const store = fixture.store({ ...role, table });
  expect(await codes(store)).toEqual(["read-only", "isolation-default"]);
});

test("a transaction that holds back VACUUM", async () => {
  const store = await withBacklog(fixture);
  const sql = connect(fixture.url);
  onTestFinished(() => sql.end());
  await sql.unsafe("begin isolation level repeatable read; select txid_current()");
  const { names, connections } = contextOf(store);
  const facts = await readFacts({ names, connections });
  // It is too young to be told of, so its age is the only thing that is made up.
  const aged: Facts = { ...facts, horizon: facts.horizon && { ...facts.horizon, ms: 3_600_000 } };
  const found = findings(aged, { max: 1, clockAheadMs: 0, names: contextOf(store).names }).filter(
    ({ code }) => code === "vacuum-held-back",
  );
  expect(found[0]?.found).toContain("is open for 60 minutes");
});

describe("by facts that no test can make on a shared server", () => {
  const facts = async (over: Partial<Facts>) => {
    const { names, connections } = contextOf(await fixture.seeded());
    const found = await readFacts({ names, connections });
    const quiet = { version_number: 180_000, horizon: null, slots: [], prepared: 0, used: 1 };
    return { ...found, ...quiet, ...over };
  };
  const client = { max: 5, clockAheadMs: 0, names: namesOf("public", "events") };

  test.each<[string, Partial<Facts>, Finding["code"]]>([
    ["another encoding", { encoding: "SQL_ASCII" }, "encoding-not-utf8"],
    ["a standby", { standby: true }, "read-only"],
    ["a server that is too old", { version_number: 130_005 }, "server-end-of-life"],
    [
      "a server without support",
      { version_number: 140_023, now: Date.parse("2026-12-01") },
      "server-end-of-life",
    ],
    ["an unread replication slot", { slots: [{ name: "copy", active: false }] }, "vacuum-held-back"],
    ["prepared transactions", { prepared: 2 }, "vacuum-held-back"],
    ["autovacuum off everywhere", { autovacuum: false }, "autovacuum-off"],
    ["connections that run short", { used: 95, max_connections: 100, reserved: 3 }, "connections-short"],
    ["ids near their end", { ids_used: 2_000_000_000, highest_possible_id: 2_147_483_647 }, "ids-near-end"],
  ])("%s", async (_, over, code) => {
    expect(findings(await facts(over), client).map((found) => found.code)).toEqual([code]);
  });

  test("a store that may open more connections than there are", async () => {
    const found = findings(await facts({ max_connections: 10, reserved: 3 }), { ...client, max: 20 });
    expect(found.map(({ code }) => code)).toEqual(["connections-short"]);
  });

  test.each([
    [2_147_483_647, 'Widen the ids to bigint: docs/guides/migrating-from-act-pg.md, "Widen the ids".'],
    [Number.MAX_SAFE_INTEGER, "Restore the log: restore() numbers its events from 1 again."],
  ])("what to do if the ids end at %d", async (highest, remedy) => {
    const used = Math.floor(highest * 0.9);
    const found = findings(await facts({ ids_used: used, highest_possible_id: highest }), client);
    expect(found).toMatchObject([{ code: "ids-near-end", severity: "warning", remedy }]);
  });

  test("clocks that are apart", async () => {
    const found = findings(await facts({}), { ...client, clockAheadMs: -9_000 });
    expect(found.map(({ code }) => code)).toEqual(["clocks-apart"]);
    expect(found[0]?.found).toContain("9 s behind");
  });
});

test("every finding says what to do", async () => {
  const store = await withBacklog(fixture);
  await store.commit("s", [{ name: "Future", data: {} }], cause("c"));
  await fixture.sql.unsafe(`update ${store.config.table} set created = '2099-01-01' where name = 'Future'`);
  for (const { remedy } of await new Admin(store).doctor()) expect(remedy).toMatch(/\w+ .*\.$/);
});
