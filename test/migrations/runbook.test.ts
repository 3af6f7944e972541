/** docs/guides/migrating-from-act-pg.md, followed to the letter. */
import { randomBytes } from "node:crypto";
import type { Schemas } from "@rotorsoft/act";
import pg from "pg";
import type postgres from "postgres";
import { expect, onTestFinished, test, vi } from "vitest";
import { ActPgBaseline } from "../../bench/baseline-act-pg/index.ts";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import type { TableName } from "../order/lock.ts";
import { connect, createDatabase } from "../support/database.ts";
import { createHistoric, historicLayouts, upgradeHistoric } from "./act-pg-history.ts";
import { createLayout, EVENTS, type Layout } from "./act-pg-layouts.ts";
import { catalogOf } from "./catalog.ts";
import { meta, recordLog } from "./fixture.ts";
import { Project } from "./project.ts";
import { runbookSql } from "./runbook.ts";

// drizzle-kit takes a second or two each time, on a machine that does nothing else.
vi.setConfig({ testTimeout: 120_000 });

const layout: Layout = {
  missing: [],
  text: "varchar(100)",
  retry: "smallint not null default 0",
  checkpoint: "single",
  fetchIndex: true,
  deferredAt: "timestamptz",
};

/** A database with act-pg's tables under the default names, as the page has them. */
async function made(tables?: Layout): Promise<{ name: TableName; sql: postgres.Sql }> {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const name = { url: database.url, schema: database.schema, table: "events" };
  const sql = connect(database.url);
  onTestFinished(() => sql.end());
  if (tables) await createLayout(sql, name, tables);
  return { name, sql };
}

async function seeded(name: TableName, options: PostgresStoreOptions = {}): Promise<PostgresStore> {
  const store = new PostgresStore({ ...name, max: 4, ...options });
  onTestFinished(() => store.dispose());
  await store.seed();
  return store;
}

/** Runs the statements of one block, again after a deadlock; returns the last one's rows. */
async function run(sql: postgres.Sql, block: readonly string[] | undefined) {
  for (;;) {
    try {
      let rows: readonly Record<string, unknown>[] = [];
      for (const statement of block ?? []) rows = await sql.unsafe(statement);
      return rows;
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error) || error.code !== "40P01") throw error;
      await sql`rollback`;
    }
  }
}

test("A log in partitions: one whose streams have a limit is refused, and taken over once it is copied", async () => {
  const { name, sql } = await made(layout);
  for (const statement of [
    "alter table events rename to whole",
    "create table events (like whole including defaults) partition by hash (stream)",
    "create table part_0 partition of events for values with (modulus 2, remainder 0)",
    "create table part_1 partition of events for values with (modulus 2, remainder 1)",
    "alter sequence events_id_seq owned by events.id",
    "insert into events select * from whole",
    "drop table whole",
  ])
    await sql.unsafe(statement);
  await expect(seeded(name)).rejects.toThrow(
    /the type of "[^"]+"."events"."stream" has to change from character varying\(100\) to text, but the table is partitioned by it/,
  );
  for (const block of runbookSql("A log in partitions")) await run(sql, block);
  const keys = () => sql`select pg_get_constraintdef(oid) as key from pg_constraint
    where conrelid = 'events'::regclass and contype = 'p'`;
  expect(await keys()).toEqual([{ key: "PRIMARY KEY (id, stream)" }]);
  const store = await seeded(name);
  expect(await store.query(() => {})).toBe(EVENTS);
  const stream = "long ".repeat(40);
  const [committed] = await store.commit(stream, [{ name: "A", data: {} }], meta);
  expect(committed).toMatchObject({ id: EVENTS + 1, stream, version: 0 });
});

test("Before, Large logs, The switch, After", async () => {
  const { name, sql } = await made(layout);
  await sql.unsafe(`create view report as select stream, count(*) from events group by stream;
    create function audit() returns trigger language plpgsql as 'begin return new; end';
    create trigger audit before insert on events for each row when (new.name = 'X') execute function audit();
    create function blocked() returns bigint language sql begin atomic select count(*) from events_streams where source = 'X'; end`);
  const [numbers, users] = runbookSql("Before");
  const before = await run(sql, numbers);
  expect(before).toMatchObject([
    { events: String(EVENTS), head: EVENTS, streams: "6", subscriptions: "10", blocked: "1" },
  ]);
  const found = (await run(sql, users)).map(({ used_by }) => String(used_by)).sort();
  expect(found).toEqual([
    "function blocked()",
    expect.stringMatching(/view report/),
    "trigger audit on table events",
  ]);
  await sql.unsafe("drop view report; drop trigger audit on events; drop function blocked()");

  const lines = recordLog("info");
  for (const block of runbookSql("Large logs")) await run(sql, block);
  const store = await seeded(name, { statement_timeout: 0 });
  expect(lines).toHaveLength(1);
  for (const unsaid of [`"events"."name"`, "events_snapshot_ix", "events_name_id_ix", "events_created_ix"])
    expect(lines[0]).not.toContain(unsaid);
  const { name: other } = await made(layout);
  await seeded(other);
  expect(await catalogOf(name)).toEqual(await catalogOf(other));

  expect(await run(sql, numbers)).toEqual(before);
  const [after] = runbookSql("After");
  const [recorded, order, behind] = after ?? [];
  expect(await run(sql, [recorded ?? ""])).toEqual([
    { recorded: expect.stringMatching(/^\[act-drizzle schema \d+\] \[act-drizzle migrated \d+\]$/) },
  ]);
  expect(await run(sql, [order ?? ""])).toEqual([{ in_wrong_order: "0" }]);
  expect(await run(sql, [behind ?? ""])).toEqual([{ behind: "9" }]);
  await store.ack((await store.claim(20, 0, "w", 60_000)).map((lease) => ({ ...lease, at: EVENTS })));
  // One is leased by somebody, one is deferred.
  expect(await run(sql, [behind ?? ""])).toEqual([{ behind: "2" }]);
});

/** A database with the tables of act-pg's last release under the default names. */
async function lastLayout(): Promise<{ name: TableName; sql: postgres.Sql }> {
  const { name, sql } = await made();
  const newest = historicLayouts.at(-1);
  if (!newest) throw new Error("there are layouts");
  await createHistoric(sql, name, newest);
  return { name, sql };
}

const indexFiles = (sql: postgres.Sql) => sql<{ relname: string; relfilenode: number }[]>`
  select relname, relfilenode from pg_class where relkind = 'i' and relname like 'events%' order by 1`;

test("Large logs, for the last release: seed() takes the index that was built beforehand", async () => {
  const { name, sql } = await lastLayout();
  for (const block of runbookSql("Large logs")) await run(sql, block);
  const built = (await indexFiles(sql)).find(({ relname }) => relname === "events_next_ix_1");
  await seeded(name);
  const taken = (await indexFiles(sql)).find(({ relname }) => relname === "events_stream_id_ix");
  expect(taken?.relfilenode).toBe(built?.relfilenode);
  const { name: other } = await lastLayout();
  await seeded(other);
  expect(await catalogOf(name)).toEqual(await catalogOf(other));
});

test.each(historicLayouts.map((each) => [each.title, each] as const))(
  "Drop what only act-pg used leaves the indexes of a new store: %s",
  async (_, each) => {
    const { name, sql } = await made();
    await createHistoric(sql, name, each);
    await upgradeHistoric(sql, name, historicLayouts.at(-1) ?? each);
    await seeded(name);
    for (const block of runbookSql("Drop what only act-pg used")) await run(sql, block);
    const { name: fresh } = await made();
    await seeded(fresh);
    const indexes = (facts: readonly string[]) => facts.filter((fact) => fact.startsWith("index "));
    expect(indexes(await catalogOf(name))).toEqual(indexes(await catalogOf(fresh)));
  },
);

test("the grants are enough for a role to work with", async (context) => {
  const { name, sql } = await made(layout);
  await seeded(name);
  const role = `act_app_${randomBytes(4).toString("hex")}`;
  try {
    await sql.unsafe(`create role ${role} login password 'app'`);
  } catch {
    context.skip("this server's user may not create roles");
  }
  onTestFinished(async () => void (await sql.unsafe(`drop owned by ${role}; drop role ${role}`)));
  const [grants] = runbookSql("The switch");
  await run(
    sql,
    grants?.map((grant) => grant.replace(/ to app$/, ` to ${role}`)),
  );
  const url = new URL(name.url);
  url.username = role;
  url.password = "app";
  const store = await seeded({ ...name, url: url.href });
  expect(await store.commit("s-0", [{ name: "A", data: {} }], meta)).toMatchObject([{ id: EVENTS + 1 }]);
  expect(await store.ack(await store.claim(1, 0, "w", 60_000))).toHaveLength(1);
});

test("Back: act-pg on a new store's tables, with the parser for int8", async () => {
  const { name } = await made();
  const store = await seeded(name);
  await store.commit("s", [{ name: "A", data: {} }], meta);
  const theirs = new ActPgBaseline(name);
  onTestFinished(() => theirs.dispose());
  const ids: unknown[] = [];
  await theirs.query<Schemas>(({ id }) => ids.push(id));
  pg.types.setTypeParser(20, Number);
  onTestFinished(() => pg.types.setTypeParser(20, String));
  await theirs.query<Schemas>(({ id }) => ids.push(id));
  expect(ids).toEqual(["1", 1]);
});

/** Uses every prepared statement that returns an id, again and again, until told to stop. */
async function work(store: PostgresStore, done: () => boolean): Promise<number> {
  let rounds = 0;
  while (!done()) {
    const [event] = await store.commit("worked", [{ name: "Worked", data: {} }], meta);
    await store.subscribe([{ stream: "worker", source: "worked", correlated_at: event?.id }], event?.id);
    const leases = await store.claim(1, 0, "w", 0);
    for (const { source, at } of leases)
      await store.query<Schemas>(() => {}, { stream: source, stream_exact: true, after: at, limit: 10 });
    await store.ack(leases.map((lease) => ({ ...lease, at: event?.id ?? lease.at })));
    await store.query_stats(["worked"]);
    await store.query_streams(() => {});
    rounds++;
  }
  return rounds;
}

type Widening = { missing: Layout["missing"]; chosen: (blocks: readonly string[][]) => readonly string[][] };
const widening: Record<string, Widening> = {
  "with a pause": { missing: [], chosen: (blocks) => blocks.slice(1, 2) },
  "without one": { missing: ["pii", "lane"], chosen: (blocks) => blocks.slice(2) },
};

test.each(Object.entries(widening))(
  "Finish, ids widened %s: nothing is lost, and push finds nothing to do",
  async (_, { missing, chosen }) => {
    const { name, sql } = await made({ ...layout, missing });
    const store = await seeded(name);
    await sql`update events set data = null where id = 3`;
    let finished = false;
    const working = work(store, () => finished);
    // A failure of the worker is reported at the end; until then it must not be unhandled.
    working.catch(() => {});

    const [where] = runbookSql("Widen the ids");
    expect(await run(sql, where)).toMatchObject([{ percent: expect.any(String) }]);
    for (const block of runbookSql("Drop what only act-pg used")) await run(sql, block);
    for (const block of chosen(runbookSql("Widen the ids"))) {
      const filling = block[0]?.startsWith("update");
      do await run(sql, block);
      while (filling && (await sql`select from events where wide_id is null limit 1`).length > 0);
    }
    for (const block of runbookSql("Let drizzle-kit know the tables")) await run(sql, block);
    const last = (await sql`select max(id) as id from events`)[0]?.id;
    await vi.waitUntil(
      async () => Number((await sql`select max(id) as id from events`)[0]?.id) > Number(last) + 3,
      { timeout: 20_000 },
    );
    finished = true;
    const rounds = await working;

    const [counted] = await sql`select count(*)::int as events from events`;
    expect(counted?.events).toBe(EVENTS + rounds);
    await sql`select setval('events_id_seq', 3000000000)`;
    const [beyond] = await store.commit("worked", [{ name: "Beyond", data: {} }], meta);
    expect(beyond).toMatchObject({ id: 3_000_000_001, version: rounds });
    await store.subscribe([{ stream: "worker", correlated_at: beyond?.id }], beyond?.id, {
      key: "app",
      by: "w",
      millis: 0,
    });
    expect(
      await store.ack((await store.claim(1, 0, "w", 0)).map((lease) => ({ ...lease, at: 3_000_000_001 }))),
    ).toHaveLength(1);

    const { name: fresh } = await made();
    await seeded(fresh);
    // What is left of the past is the order of columns, and the name of a constraint that PostgreSQL 18 records.
    const unordered = (facts: readonly string[]) =>
      facts
        .filter((fact) => !fact.includes("_not_null: "))
        .map((fact) => fact.replace(/^(column \S+)\.\d+ /, "$1 "))
        .sort();
    expect(unordered(await catalogOf(name))).toEqual(unordered(await catalogOf(fresh)));
    expect(await new Project(name.url, [{ schema: name.schema, table: "events" }]).push()).toBe("unchanged");
  },
);
