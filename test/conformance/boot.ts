/** seed: first boots, later boots, many boots, and databases that act-pg made. */
import { log, type Store } from "@rotorsoft/act";
import { expect, onTestFinished, vi } from "vitest";
import { within } from "./kit/eventually.ts";
import { lockKeyOf, openTransaction, tablesOf, unusedName } from "./kit/postgres.ts";
import {
  append,
  appendOne,
  arrange,
  at,
  blocked,
  claimAll,
  idsOf,
  leaseOf,
  message,
  positionOf,
  positions,
  readAll,
  streamsOf,
} from "./kit/scenario.ts";
import { type DatabaseFixture, type RawAccess, section } from "./kit/section.ts";

const needs = ["sql", "shared"] as const;

/** The tables of a schema whose names start alike. */
async function tablesIn({ sql }: RawAccess, schema: string, prefix = ""): Promise<string[]> {
  const rows = await sql<Array<{ name: string }>>`
    select tablename as name from pg_tables
    where schemaname = ${schema} and starts_with(tablename, ${prefix}) order by 1`;
  return rows.map(({ name }) => name);
}

/** Commits and claims: proof that a store works. */
async function works(store: Store): Promise<void> {
  expect(await append(store, "proof", "A")).toHaveLength(1);
  await store.subscribe([{ stream: "proof", correlated_at: 1e6 }]);
  expect(streamsOf(await claimAll(store))).toContain("proof");
}

/** Boots a store over tables that another adapter's statements made. */
async function adopt({ raw, second }: DatabaseFixture, table: string, layout: string): Promise<Store> {
  const text = layout.replaceAll("$schema", `"${raw.schema}"`).replaceAll("$table", table);
  // Each in a message of its own: Citus refuses DDL beside other statements in one.
  for (const statement of text.split(/;$/m)) if (statement.trim()) await raw.sql.unsafe(statement);
  const store = await second({ table });
  await store.seed();
  return store;
}

/** act-pg 0.4.6, as npm has it. */
const LAYOUT_046 = `
  create table $schema."$table" (id serial primary key, name varchar(100) not null, data jsonb,
    stream varchar(100) not null, version int not null, created timestamptz not null default now(), meta jsonb);
  create unique index "$table_stream_ix" on $schema."$table" (stream, version);
  create index "$table_name_ix" on $schema."$table" (name);
  create index "$table_created_id_ix" on $schema."$table" (created, id);
  create index "$table_correlation_ix" on $schema."$table" ((meta ->> 'correlation'));
  create table $schema."$table_streams" (stream varchar(100) primary key, at int not null default -1,
    retry smallint not null default 0, blocked boolean not null default false, leased_at int, leased_by uuid,
    leased_until timestamptz);
  create index "$table_streams_fetch_ix" on $schema."$table_streams" (blocked, at);
  insert into $schema."$table" (name, data, stream, version, created, meta) values
    ('Opened', '{"n": 1}', 's', 0, '2020-01-01T00:00:00.123Z', '{"correlation": "c1", "causation": {}}'),
    ('Closed', '{"n": 2}', 's', 1, '2020-01-02T00:00:00Z', '{"correlation": "c2", "causation": {}}'),
    ('Opened', '{"n": 3}', 't', 0, '2020-01-03T00:00:00Z', '{"correlation": "c3", "causation": {}}');
  insert into $schema."$table_streams" (stream, at, retry, blocked) values
    ('done', 3, 0, false), ('behind', 1, 0, false), ('bad', 2, 3, true);
`;

/** act-pg's current layout, with the checkpoint in a single row. */
const LAYOUT_CURRENT = `
  create table $schema."$table" (id serial primary key, name varchar(100) not null, data jsonb,
    stream varchar(100) not null, version int not null, created timestamptz not null default now(), meta jsonb,
    pii jsonb);
  create unique index "$table_stream_ix" on $schema."$table" (stream, version);
  create table $schema."$table_streams" (stream varchar(100) primary key, source varchar(100),
    at int not null default -1, retry smallint not null default 0, blocked boolean not null default false,
    error text, leased_by text, leased_until timestamptz, priority int not null default 0,
    lane text not null default 'default', deferred_at timestamptz, correlated_at int);
  create index "$table_streams_fetch_ix" on $schema."$table_streams" (lane, priority desc, at)
    where blocked = false;
  create table $schema."$table_correlated" (id int primary key default 1, at int not null default -1);
  insert into $schema."$table" (name, data, stream, version, meta, pii) values
    ('Opened', '{"n": 1}', 's', 0, '{"correlation": "", "causation": {}}', '{"email": "a@b.c"}'),
    ('Opened', '{"n": 2}', 't', 0, '{"correlation": "", "causation": {}}', null);
  insert into $schema."$table_streams" (stream, source, at, retry, blocked, error, priority, lane, correlated_at)
    values ('done', 's', 2, -1, false, null, 5, 'fast', 2), ('bad', null, 1, 3, true, 'poison', 0, 'default', 2);
  insert into $schema."$table_correlated" (id, at) values (1, 2);
`;

/** The same with a checkpoint per correlator, and names as text. */
const LAYOUT_KEYED = `
  create table $schema."$table" (id serial primary key, name text not null, data jsonb, stream text not null,
    version int not null, created timestamptz not null default now(), meta jsonb, pii jsonb);
  create unique index "$table_stream_ix" on $schema."$table" (stream, version);
  create table $schema."$table_streams" (stream text primary key, source text, at int not null default -1,
    retry int not null default -1, blocked boolean not null default false, error text, leased_by text,
    leased_until timestamptz, priority int not null default 0, lane text not null default 'default',
    deferred_at timestamptz, correlated_at int);
  create table $schema."$table_correlated" (key text primary key, at int not null default -1, leased_by text,
    leased_until timestamptz);
  insert into $schema."$table" (name, data, stream, version, meta) values
    ('Opened', '{"n": 1}', 's', 0, '{"correlation": "", "causation": {}}');
  insert into $schema."$table_streams" (stream, at, correlated_at) values ('unmarked', -1, null), ('done', 1, 1);
  insert into $schema."$table_correlated" (key, at) values ('', 1), ('app', 1);
`;

export const boot = section("seed and adoption", (line) => {
  line("C4", "seeding again loses nothing", async ({ store }) => {
    const events = [
      ...(await append(store, "s", "A", "B")),
      await appendOne(store, "t", message("C", { n: 1 })),
    ];
    await arrange(store, [{ stream: "a", at: 1, priority: 3, lane: "slow", source: "src" }]);
    await blocked(store, "b", "poison");
    await store.subscribe([], 9, { key: "k", by: "w", millis: 60_000 });
    const before = await positions(store);
    await store.seed();
    await Promise.all([store.seed(), store.seed()]);
    expect(await readAll(store)).toEqual(events);
    expect(await positions(store)).toEqual(before);
    const asked = await store.subscribe([], undefined, { key: "k", by: "w2", millis: 60_000 });
    expect(asked).toMatchObject({ correlated_at: 9, correlating: false });
    expect(at(await append(store, "s", "D"), 0).version).toBe(2);
  });

  line("C4", "seeding again leaves what users added", { needs: ["sql"] }, async ({ store, raw }) => {
    const { events, streams } = tablesOf(raw);
    await raw.sql`alter table ${events} add column tenant text default 'x'`;
    await raw.sql`create index ${raw.sql(`${raw.table}_own_ix`)} on ${streams} (error)`;
    await store.seed();
    await append(store, "s", "A");
    expect(at(await raw.sql`select tenant from ${events}`, 0)).toEqual({ tenant: "x" });
    const kept = await raw.sql`select from pg_indexes
      where schemaname = ${raw.schema} and indexname = ${`${raw.table}_own_ix`}`;
    expect(kept).toHaveLength(1);
  });

  line(
    "C4",
    "sixteen first boots of one table at once all succeed",
    { needs, timeout: 30_000 },
    async (fixture) => {
      const { raw, second } = fixture;
      const stores = await Promise.all(
        Array.from({ length: 16 }, () => second({ table: `${raw.table}_cold`, max: 2 })),
      );
      const boots = await Promise.allSettled(stores.map((store) => store.seed()));
      expect(boots.filter(({ status }) => status === "rejected")).toEqual([]);
      await works(at(stores, 0));
      await Promise.all(stores.map((store) => store.dispose()));
    },
  );

  line(
    "C4",
    "sixteen first boots of different tables in one absent schema all succeed",
    {
      needs,
      timeout: 120_000,
    },
    async ({ raw, second }) => {
      const schema = unusedName("absent");
      const stores = await Promise.all(
        Array.from({ length: 16 }, (_, n) => second({ schema, table: `t${n}`, max: 2 })),
      );
      const boots = await Promise.allSettled(stores.map((store) => store.seed()));
      expect(boots.filter(({ status }) => status === "rejected")).toEqual([]);
      await works(at(stores, 7));
      await Promise.all(stores.map((store) => store.drop().then(() => store.dispose())));
      await raw.sql`drop schema ${raw.sql(schema)}`;
    },
  );

  line("C4", "a failing seed rolls back, logs and rethrows", { needs }, async ({ raw, second }) => {
    const table = `${raw.table}_broken`;
    // Where the store's last table belongs there is something that can't become it.
    await raw.sql`create view ${raw.sql(raw.schema)}.${raw.sql(`${table}_correlated`)} as select 1 as one`;
    const logged = vi.spyOn(log(), "error").mockImplementation(() => {});
    onTestFinished(() => logged.mockRestore());
    const store = await second({ table });
    await expect(store.seed()).rejects.toMatchObject({ name: "ERR_STORE", operation: "seed" });
    expect(logged).toHaveBeenCalled();
    expect(await tablesIn(raw, raw.schema, table)).toEqual([]);
    await raw.sql`drop view ${raw.sql(raw.schema)}.${raw.sql(`${table}_correlated`)}`;
    await store.seed();
    await works(store);
  });

  line(
    "C4",
    "a seed of an up-to-date schema waits for no running worker",
    { needs },
    async ({ store, raw, second }) => {
      await append(store, "s", "A");
      await store.subscribe([{ stream: "a", correlated_at: 5 }], 1);
      const { events, streams, correlated } = tablesOf(raw);
      const worker = await openTransaction(raw, async (sql) => {
        await sql`select pg_advisory_xact_lock(hashtext(${lockKeyOf(raw)}))`;
        await sql`insert into ${events} (name, data, stream, version, meta) values ('B', '{}', 's', 1, '{}')`;
        await sql`update ${streams} set at = 1`;
        await sql`update ${correlated} set at = 2`;
      });
      const booting = await second();
      await within(5_000, "the seed", booting.seed());
      await worker.rollback();
    },
  );

  line(
    "C4",
    "a seed of an up-to-date schema holds no running worker up",
    { needs },
    async ({ store, second }) => {
      const others = await Promise.all([second(), second()]);
      let booting = true;
      const boots = Promise.all(
        others.map(async (other) => {
          for (let n = 0; n < 5; n++) await other.seed();
        }),
      ).finally(() => {
        booting = false;
      });
      let commits = 0;
      while (booting)
        commits += (await within(5_000, "a commit beside seeds", append(store, "s", "A"))).length;
      await boots;
      expect(await readAll(store)).toHaveLength(commits);
    },
  );

  line("C5", "act-pg 0.4.6 is taken over with events, watermarks and blocks", { needs }, async (fixture) => {
    const store = await adopt(fixture, `${fixture.raw.table}_046`, LAYOUT_046);
    expect(await readAll(store)).toMatchObject([
      { id: 1, stream: "s", version: 0, name: "Opened", data: { n: 1 }, meta: { correlation: "c1" } },
      { id: 2, stream: "s", version: 1, name: "Closed", created: new Date("2020-01-02T00:00:00Z") },
      { id: 3, stream: "t", version: 0, name: "Opened" },
    ]);
    expect((await readAll(store))[0]?.created).toEqual(new Date("2020-01-01T00:00:00.123Z"));
    expect((await positions(store)).map((row) => [row.stream, row.at, row.blocked])).toEqual([
      ["bad", 2, true],
      ["behind", 1, false],
      ["done", 3, false],
    ]);
  });

  line("C5", "subscriptions of act-pg 0.4.6 go on where they stood", { needs }, async (fixture) => {
    const store = await adopt(fixture, `${fixture.raw.table}_046`, LAYOUT_046);
    expect(streamsOf(await claimAll(store, "not-a-uuid"))).toEqual(["behind"]);
    expect(await store.unblock(["bad"])).toBe(1);
    expect(await leaseOf(store, "bad")).toMatchObject({ at: 2, retry: 0 });
    const [next] = await append(store, "s", "L".repeat(150));
    expect(next).toMatchObject({ id: 4, version: 2 });
  });

  line(
    "C5",
    "the current act-pg layout is taken over with pii, lanes, errors and checkpoint",
    { needs },
    async (fixture) => {
      const store = await adopt(fixture, `${fixture.raw.table}_now`, LAYOUT_CURRENT);
      expect((await readAll(store)).map((event) => [event.id, event.pii ?? null])).toEqual([
        [1, { email: "a@b.c" }],
        [2, null],
      ]);
      expect(await positionOf(store, "done")).toMatchObject({
        ...{ source: "s", at: 2, priority: 5, lane: "fast", correlated_at: 2, blocked: false },
      });
      expect(await positionOf(store, "bad")).toMatchObject({
        at: 1,
        blocked: true,
        error: "poison",
        retry: 3,
      });
      expect((await store.subscribe([])).correlated_at).toBe(2);
      expect(await claimAll(store)).toEqual([]);
      await works(store);
    },
  );

  line("C5", "a checkpoint per correlator is taken over", { needs }, async (fixture) => {
    const store = await adopt(fixture, `${fixture.raw.table}_keyed`, LAYOUT_KEYED);
    const ask = (key: string) => store.subscribe([], undefined, { key, by: "w", millis: 60_000 });
    expect(await ask("app")).toMatchObject({ correlated_at: 1, correlating: true });
    expect((await store.subscribe([])).correlated_at).toBe(1);
    expect(streamsOf(await claimAll(store))).toEqual(["unmarked"]);
    await works(store);
  });

  line("C5", "ids of an adopted table go on, and versions with them", { needs }, async (fixture) => {
    for (const [name, layout, head] of [
      ["a", LAYOUT_046, 3],
      ["b", LAYOUT_CURRENT, 2],
      ["c", LAYOUT_KEYED, 1],
    ] as const) {
      const store = await adopt(fixture, `${fixture.raw.table}_${name}`, layout);
      expect((await appendOne(store, "s", message())).id).toBe(head + 1);
    }
  });

  line("C5", "act-pg goes on writing to the table that was taken over", { needs }, async (fixture) => {
    const { raw } = fixture;
    const table = `${raw.table}_both`;
    const store = await adopt(fixture, table, LAYOUT_CURRENT);
    const { events, streams } = tablesOf({ ...raw, table });
    const [row] = await raw.sql<Array<{ id: number }>>`
      with l as (select pg_advisory_xact_lock(hashtext(${lockKeyOf({ ...raw, table })}))),
      ins as (insert into ${events} (name, data, stream, version, meta)
        select 'Theirs', '{"n": 9}'::jsonb, 's', 1, '{"correlation": "", "causation": {}}'::jsonb from l
        returning id)
      select id from ins`;
    await raw.sql`insert into ${streams} (stream, source) values ('theirs', 's') on conflict do nothing`;
    expect(row?.id).toBe(3);
    expect(idsOf(await readAll(store))).toEqual([1, 2, 3]);
    expect(at(await append(store, "s", "Ours"), 0)).toMatchObject({ id: 4, version: 2 });
    expect(streamsOf(await positions(store))).toContain("theirs");
  });

  line("C6", "a new subscription starts at retry −1", async ({ store }) => {
    await store.subscribe([{ stream: "a", correlated_at: 5 }]);
    expect((await positionOf(store, "a")).retry).toBe(-1);
    expect((await leaseOf(store, "a")).retry).toBe(0);
  });

  line(
    "C6",
    "a new subscription starts at retry −1 whatever the column's default",
    { needs },
    async (fixture) => {
      const { store, raw } = fixture;
      await raw.sql`alter table ${tablesOf(raw).streams} alter column retry set default 0`;
      await store.subscribe([{ stream: "a", correlated_at: 5 }]);
      expect((await positionOf(store, "a")).retry).toBe(-1);
      const adopted = await adopt(fixture, `${raw.table}_046`, LAYOUT_046);
      await adopted.subscribe([{ stream: "new", correlated_at: 5 }]);
      expect(await leaseOf(adopted, "new")).toMatchObject({ retry: 0 });
    },
  );
});
