/** seed() on a real database: what it locks, what it refuses, what it leaves alone. */
import { expect, test } from "vitest";
import { toStep } from "../../src/migrations/migration-steps.ts";
import { migrations } from "../../src/migrations/sql.generated.ts";
import { insertRaw, until } from "../order/fence.ts";
import type { TableName } from "../order/lock.ts";
import { createActPg } from "../races/act-pg-layout.ts";
import { catalogOf } from "./catalog.ts";
import { filesOf } from "./files.ts";
import { causeOf, MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
const event = { name: "Seeded", data: {} };

const commentOn = async (name: TableName): Promise<string | null> => {
  const [row] = await fixture.sql`select obj_description(${tablesOf(name).events}::regclass) as comment`;
  return row?.comment;
};

/** Resolves when some session waits for another's lock. */
const waiting = () =>
  until("a session waits", async () => {
    const [row] = await fixture.sql`
      select count(*)::int as n from pg_locks join pg_stat_activity using (pid)
      where not granted and datname = current_database()`;
    return row?.n > 0;
  });

test("seed() reads an up-to-date schema without a lock that a worker would wait for", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  const { events, streams, correlated } = tablesOf(name);
  const holder = fixture.connect();
  // Nothing can be locked but for a plain SELECT, and no other seed can run, as long as this is open.
  await holder.unsafe(`begin; lock table ${events} in exclusive mode;
    lock table ${streams}, ${correlated} in access exclusive mode`);
  await holder`select pg_advisory_xact_lock(hashtext('act-drizzle:seed'))`;

  await fixture.seeded(name);
  await holder`rollback`;
});

test("other stores work and boot while one seed() waits for a lock", async () => {
  const name = fixture.name();
  const worker = await fixture.seeded(name);
  const schema = `${fixture.database.schema}_held`;
  const holder = fixture.connect();
  await holder.unsafe(`begin; create schema "${schema}"`);
  const seeding = fixture.store({ ...name, schema }).seed();
  await waiting();

  await worker.commit("s", [event], meta);
  await worker.subscribe([{ stream: "t", correlated_at: 1 }]);
  expect(await worker.ack(await worker.claim(1, 0, "w", 10_000))).toHaveLength(1);
  await worker.truncate([{ stream: "s" }]);
  await fixture.seeded(name);
  await holder`rollback`;
  await seeding;
  await fixture.sql.unsafe(`drop schema "${schema}" cascade`);
});

test("what seed() did is logged once, in one line", async () => {
  const name = fixture.name();
  const lines = recordLog("info");
  await fixture.seeded(name);
  await fixture.seeded(name);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`seed "${name.schema}"."${name.table}": `);
  expect(lines[0]).toContain(`table "${name.table}_streams" created`);
  expect(lines[0]).toContain(`index "${name.table}_stream_ix" created`);
});

test("tables that only a newer release can work on are refused, and not changed", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  await fixture.sql.unsafe(`comment on table ${tablesOf(name).events} is '[act-drizzle schema 99]'`);
  const before = await catalogOf(name);
  const logged = recordLog("error");

  const cause = await causeOf(fixture.store(name).seed());
  expect(cause).toMatch(
    /^".*"\.".*" was made by a newer act-drizzle \(schema 99, .*\): upgrade the package$/,
  );
  expect(logged).toEqual([expect.stringContaining(cause)]);
  expect(await catalogOf(name)).toEqual(before);
});

test("tables that a newer release migrated, and that this one can work on, are not changed", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  const { events, correlated } = tablesOf(name);
  const newer = "Ours. [act-drizzle schema 2] [act-drizzle migrated 99]";
  await fixture.sql.unsafe(`comment on table ${events} is '${newer}';
    alter table ${events} add column future text; alter table ${correlated} add column future text`);
  const before = await catalogOf(name);
  const lines = recordLog("info");

  const store = await fixture.seeded(name);
  expect(lines).toEqual([]);
  expect(await catalogOf(name)).toEqual(before);
  expect(await store.commit("s", [event], meta)).toMatchObject([{ version: 0 }]);

  // What is missing is made, as this release knows it: the newer one has to look again.
  await fixture.sql.unsafe(`drop table ${correlated}`);
  await fixture.seeded(name);
  expect(await commentOn(name)).toMatch(/^Ours\. \[act-drizzle schema 2\] \[act-drizzle migrated \d\]$/);
});

test("tables of release 0.1.0 get the new columns and indexes, and no row is rewritten", async () => {
  const name = fixture.name();
  const current = fixture.name();
  await fixture.seeded(current);
  const { events } = tablesOf(name);
  const shipped = migrations.slice(0, 2).flatMap(({ statements }) => statements);
  const steps = shipped.map((statement) => toStep(statement, name.table).sql);
  const holder = fixture.connect();
  await holder.unsafe(`set search_path = "${name.schema}"`);
  for (const step of steps) await holder.unsafe(step);
  await holder.unsafe(`comment on table ${events} is '[act-drizzle schema 2]'`);
  for (const version of [0, 1]) await insertRaw(fixture.sql, name, "old", version);
  const files = await filesOf(fixture.sql, name);
  const lines = recordLog("info");

  const store = await fixture.seeded(name);
  const created = (index: string) => `index "${name.table}_${index}" created`;
  const indexes = ["created_id_ix", "streams_lane_due_ix", "streams_blocked_ix"].map(created);
  const skipped = [`column "${name.table}_streams"."skipped" added`, created("streams_skipped_ix")];
  expect(lines).toEqual([
    `[act-drizzle] seed "${name.schema}"."${name.table}": ${[`column "${name.table}"."token" added`, ...indexes, ...skipped].join(", ")}`,
  ]);
  expect(await catalogOf(name)).toEqual(await catalogOf(current));
  // Whatever was there is in the same file as before.
  expect(await filesOf(fixture.sql, name)).toMatchObject(files);
  expect(await store.commit("old", [event], meta, 1)).toMatchObject([{ version: 2 }]);
});

test("a column that was dropped is added again, although the record says that it is there", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  const { events, streams } = tablesOf(name);
  // As push does from the schema of a release that did not know them.
  await fixture.sql.unsafe(
    `alter table ${events} drop column token; alter table ${streams} drop column lane`,
  );
  const lines = recordLog("info");
  await fixture.seeded(name);
  expect(lines[0]).toContain(`column "${name.table}"."token" added`);
  expect(lines[0]).toContain(`column "${name.table}_streams"."lane" added`);
  await fixture.seeded(name);
  expect(lines).toHaveLength(1);
});

test("a comment of the user stays, before and after the record", async () => {
  const name = fixture.name();
  const { events } = tablesOf(name);
  await fixture.seeded(name);
  const record = await commentOn(name);
  expect(record).toMatch(/^\[act-drizzle schema \d+\] \[act-drizzle migrated \d+\]$/);

  await fixture.sql.unsafe(`comment on table ${events} is 'The ledger''s log.'`);
  await fixture.seeded(name);
  expect(await commentOn(name)).toBe(`The ledger's log. ${record}`);
  // An older release's record is replaced where it stands.
  await fixture.sql.unsafe(`comment on table ${events} is 'Ours. [act-drizzle schema 1] Keep out.'`);
  await fixture.seeded(name);
  expect(await commentOn(name)).toBe(`Ours. ${record} Keep out.`);
});

test("storage options that somebody chose stay, and the others are set", async () => {
  const name = fixture.name();
  const { events, streams } = tablesOf(name);
  await fixture.seeded(name);
  await fixture.sql.unsafe(`comment on table ${events} is null`);
  await fixture.sql.unsafe(
    `alter table ${streams} set (fillfactor = 70), reset (autovacuum_vacuum_threshold)`,
  );
  await fixture.seeded(name);
  const [row] = await fixture.sql`select reloptions from pg_class where oid = ${streams}::regclass`;
  expect(row?.reloptions).toContain("fillfactor=70");
  expect(row?.reloptions).toContain("autovacuum_vacuum_threshold=500");
});

test("a sequence that caches is set to 1: ids must be handed out in order", async () => {
  const name = fixture.name();
  const { events } = tablesOf(name);
  await fixture.sql.unsafe(`
    create table ${events} (id bigserial primary key, name text not null, data jsonb not null, stream text not null,
      version int not null, created timestamptz not null default now(), meta jsonb not null);
    alter sequence "${name.schema}"."${name.table}_id_seq" cache 32`);
  await fixture.seeded(name);
  expect(await catalogOf(name)).toContainEqual(expect.stringMatching(/^sequence .* cache 1,/));
});

test("a sequence that the table does not own is set to cache 1 too", async () => {
  const name = fixture.name();
  const { events } = tablesOf(name);
  const sequence = `"${name.schema}"."${name.table}_ids"`;
  await fixture.sql.unsafe(`
    create sequence ${sequence} cache 32;
    create table ${events} (id bigint primary key default nextval('${sequence}'), name text not null,
      data jsonb not null, stream text not null, version int not null, created timestamptz not null default now(),
      meta jsonb not null)`);
  await fixture.seeded(name);
  expect(
    await fixture.sql`select seqcache::int from pg_sequence where seqrelid = ${sequence}::regclass`,
  ).toEqual([{ seqcache: 1 }]);
});

test("new ids follow the last one of a log that was copied without its sequence's position", async () => {
  const name = fixture.name();
  const { events } = tablesOf(name);
  const sequence = `"${name.schema}"."${name.table}_id_seq"`;
  await createActPg(fixture.sql, name);
  const [last] = await fixture.sql.unsafe(`select max(id)::int as id from ${events}`);
  await fixture.sql.unsafe(`alter sequence ${sequence} restart`);
  const lines = recordLog("info");
  const store = await fixture.seeded(name);
  expect(lines[0]).toContain(`sequence moved to ${last?.id}, so that new ids come after the log's last`);
  const [committed] = await store.commit("s", [event], meta);
  expect(committed?.id).toBe(last?.id + 1);
});

test("new ids follow the last one of a log that was copied into seeded tables", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  for (const version of [0, 1]) await insertRaw(fixture.sql, name, "old", version);
  await fixture.sql.unsafe(`update ${tablesOf(name).events} set id = id + 1000;
    alter sequence "${name.schema}"."${name.table}_id_seq" restart`);
  const lines = recordLog("info");
  const [committed] = await (await fixture.seeded(name)).commit("s", [event], meta);
  expect(committed?.id).toBe(1003);
  expect(lines).toEqual([
    expect.stringContaining("sequence moved to 1002, so that new ids come after the log's last"),
  ]);
  // Once is enough.
  await fixture.seeded(name);
  expect(lines).toHaveLength(1);
});

test("a sequence that is ahead of its log stays where it is, so that no id is given twice", async () => {
  const name = fixture.name();
  await createActPg(fixture.sql, name);
  await fixture.sql`select setval(${`"${name.schema}"."${name.table}_id_seq"`}, 5000)`;
  const lines = recordLog("info");
  const [committed] = await (await fixture.seeded(name)).commit("s", [event], meta);
  expect(committed?.id).toBe(5001);
  expect(lines[0]).not.toContain("sequence moved");
});

test("an index left invalid by CREATE INDEX CONCURRENTLY is rebuilt", async () => {
  const name = fixture.name();
  const { events } = tablesOf(name);
  await fixture.seeded(name);
  const expected = await catalogOf(name);
  await fixture.sql.unsafe(`drop index "${name.schema}"."${name.table}_stream_ix"`);
  await insertRaw(fixture.sql, name, "twice", 0);
  const second = await insertRaw(fixture.sql, name, "twice", 0);
  const build = `create unique index concurrently "${name.table}_stream_ix" on ${events} (stream, version)`;
  await expect(fixture.sql.unsafe(build)).rejects.toThrow("could not create unique index");
  await fixture.sql.unsafe(`delete from ${events} where id = ${second}; comment on table ${events} is null`);

  await fixture.seeded(name);
  expect(await catalogOf(name)).toEqual(expected);
});

test("a seed() that loses a deadlock runs again", async () => {
  const name = fixture.name();
  const { events, streams } = tablesOf(name);
  await createActPg(fixture.sql, name);
  const worker = fixture.connect();
  await worker`set deadlock_timeout = '10s'`;
  await worker.unsafe(`begin; lock table ${streams} in share mode`);
  const seeding = fixture.seeded(name);
  await waiting();
  // Whoever waited first notices first: as a rule the seed.
  await worker.unsafe(`lock table ${events} in share mode`).catch(() => {});
  await worker`rollback`;

  const store = await seeding;
  expect((await store.query_streams(() => {})).count).toBe(10);
});

const uuidTable = (table: string) => `create table ${table} (id uuid primary key, name text, stream text);
  insert into ${table} values (gen_random_uuid(), 'theirs', 's')`;

/** What may stand in the way, and what is said about it. */
const obstacles: Record<string, { make: (name: TableName) => string; said: RegExp; mayDrop?: true }> = {
  "a table of another application": {
    make: (name) => uuidTable(tablesOf(name).events),
    said: /^".*" does not belong to this store, its column "id" is uuid: choose another schema or table name\. Nothing was changed$/,
  },
  "an empty table without the columns": {
    make: (name) => `create table ${tablesOf(name).events} (id bigserial primary key, name text, data jsonb)`,
    said: /does not belong to this store, it has no column "stream"/,
  },
  "another table where the subscriptions belong": {
    make: (name) => `create table ${tablesOf(name).streams} (stream text primary key, url text)`,
    said: /_streams" does not belong to this store, it has no column "at"/,
  },
  "another table where the checkpoints belong": {
    make: (name) => `create table ${tablesOf(name).correlated} (key text primary key, at timestamptz)`,
    said: /_correlated" does not belong to this store, its column "at" is timestamp with time zone/,
  },
  "a view": {
    make: (name) => `create view ${tablesOf(name).correlated} as select 1 as one`,
    said: /_correlated" does not belong to this store, it is not a table/,
  },
  "an index of another table": {
    make: (name) => `create table "${name.schema}"."${name.table}_other" (at int);
      create index "${name.table}_created_ix" on "${name.schema}"."${name.table}_other" (at)`,
    said: /_created_ix" is not an index of "mig\d+t": rename it/,
    mayDrop: true,
  },
  "a sequence with an index's name": {
    make: (name) => `create sequence "${name.schema}"."${name.table}_streams_due_ix"`,
    said: /_streams_due_ix" is not an index of "mig\d+t_streams": rename it/,
    mayDrop: true,
  },
};

test.each(Object.entries(obstacles))(
  "%s is left alone, and nothing is created beside it",
  async (_, obstacle) => {
    const name = fixture.name();
    await fixture.sql.unsafe(obstacle.make(name));
    const relations = () => fixture.sql`
    select relname, xmin, relfilenode from pg_class where starts_with(relname, ${`${name.table}`}) order by 1`;
    const before = [...(await relations()), ...(await catalogOf(name))];

    const store = fixture.store(name);
    expect(await causeOf(store.seed())).toMatch(obstacle.said);
    if (obstacle.mayDrop) await store.drop();
    else expect(await causeOf(store.drop())).toMatch(obstacle.said);
    expect([...(await relations()), ...(await catalogOf(name))]).toEqual(before);
  },
);

test("an index that should be unique and is not is refused, because versions could repeat", async () => {
  const name = fixture.name();
  const { events } = tablesOf(name);
  await fixture.seeded(name);
  await fixture.sql.unsafe(`comment on table ${events} is null; drop index "${name.schema}"."${name.table}_stream_ix";
    create index "${name.table}_stream_ix" on ${events} (stream, version)`);
  expect(await causeOf(fixture.store(name).seed())).toMatch(/the index .*_stream_ix" is not unique/);
});

test("a failure in the middle of an adoption rolls all of it back", async () => {
  const name = fixture.name();
  const { events, streams } = tablesOf(name);
  await createActPg(fixture.sql, name);
  // The last index of the plan: by then every column was changed.
  await fixture.sql.unsafe(`create sequence "${name.schema}"."${name.table}_streams_due_ix"`);
  const rows = async () => [
    ...(await fixture.sql.unsafe(`select * from ${events} order by id`)),
    ...(await fixture.sql.unsafe(`select * from ${streams} order by stream`)),
  ];
  const before = [...(await catalogOf(name)), ...(await rows())];

  await causeOf(fixture.store(name).seed());
  expect([...(await catalogOf(name)), ...(await rows())]).toEqual(before);

  await fixture.sql.unsafe(`drop sequence "${name.schema}"."${name.table}_streams_due_ix"`);
  const store = await fixture.seeded(name);
  expect((await store.query_streams(() => {})).count).toBe(10);
});

test("a store with mixed-case names can be seeded, used, seeded again and dropped", async () => {
  const name = { ...fixture.name(), schema: `${fixture.database.schema}_Mixed`, table: "Ledger_Events" };
  const lower = { ...name, table: "ledger_events" };
  const [store, other] = [await fixture.seeded(name), await fixture.seeded(lower)];
  await store.commit("s", [event, event], meta);
  await store.subscribe([{ stream: "t", correlated_at: 2 }], 2);
  expect(await store.ack(await store.claim(1, 1, "w", 10_000))).toHaveLength(1);
  await store.restore(async (callback) => {
    await callback({ ...event, id: 1, stream: "r", version: 0, created: new Date(), meta });
  });
  await store.seed();
  expect((await store.query_stats({})).get("r")?.head.id).toBe(1);
  expect((await other.query_stats({})).size).toBe(0);
  expect(await catalogOf(name)).toHaveLength((await catalogOf(lower)).length);

  await store.drop();
  await other.commit("s", [event], meta);
  await other.drop();
  expect(await fixture.sql`select from pg_tables where schemaname = ${name.schema}`).toHaveLength(0);
  await fixture.sql.unsafe(`drop schema "${name.schema}"`);
});
