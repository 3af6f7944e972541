/** act-pg's current layout, in whatever state of upgrade seed() may find it. */
import type { Committed, Schemas } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test } from "vitest";
import { ActPgBaseline } from "../../bench/baseline-act-pg/index.ts";
import type { TableName } from "../order/lock.ts";
import {
  CHECKPOINT,
  CURRENT_LAYOUT,
  createLayout,
  EVENTS,
  type Layout,
  layouts,
  titleOf,
} from "./act-pg-layouts.ts";
import { catalogOf } from "./catalog.ts";
import { filesOf } from "./files.ts";
import { causeOf, MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
type Row = Record<string, unknown>;

async function rows(table: string): Promise<Row[]> {
  const found = await fixture.sql.unsafe(`select to_jsonb(t) as row from ${table} t order by 1`);
  return found.map(({ row }) => row);
}

async function made(layout: Partial<Layout> = {}): Promise<TableName> {
  const name = fixture.name();
  await createLayout(fixture.sql, name, { ...CURRENT_LAYOUT, ...layout });
  return name;
}

function actPg(name: TableName, notify = false): ActPgBaseline {
  const store = new ActPgBaseline({ ...name, notify });
  onTestFinished(() => store.dispose());
  return store;
}

/** A subscription's row as it should be after the adoption. */
function adopted(row: Row, layout: Layout): Row {
  const marked = { ...row, correlated_at: row.correlated_at ?? EVENTS };
  if (layout.deferredAt !== "bigint" || typeof row.deferred_at !== "number") return marked;
  return { ...marked, deferred_at: "2100-01-01T00:00:00.123+00:00" };
}

describe("every event, watermark, block and checkpoint is adopted", () => {
  test.each(layouts().map((layout) => [titleOf(layout), layout] as const))("%s", async (_, layout) => {
    const name = await made(layout);
    const { events, streams, correlated } = tablesOf(name);
    const [eventsBefore, streamsBefore, files] = [
      await rows(events),
      await rows(streams),
      await filesOf(fixture.sql, name),
    ];
    expect([eventsBefore.length, streamsBefore.length]).toEqual([EVENTS, 10]);

    const checkpoints = layout.checkpoint === "none" ? [] : await rows(correlated);

    const lines = recordLog("info");
    const store = await fixture.seeded(name);
    await store.seed();

    expect(lines).toHaveLength(1);
    // What was there is there; only `dates`, `token`, and what was missing, came along.
    const eventsAfter = await rows(events);
    expect(eventsAfter).toEqual(eventsBefore.map((row) => ({ pii: null, ...row, dates: null, token: null })));
    expect(await rows(streams)).toMatchObject(streamsBefore.map((row) => adopted(row, layout)));
    expect((await store.query_streams(() => {})).maxEventId).toBe(EVENTS);
    const checkpoint = layout.checkpoint === "none" ? -1 : CHECKPOINT;
    expect((await store.subscribe([])).correlated_at).toBe(checkpoint);
    if (layout.checkpoint === "keyed") expect(await rows(correlated)).toEqual(checkpoints);
    // No rewrite, and no rebuilt index, of the events table.
    const filesAfter = await filesOf(fixture.sql, name);
    const kept = Object.entries(files).filter(([relation]) => !/^_(streams|correlated)/.test(relation));
    expect(kept.length).toBe(6);
    for (const [relation, file] of kept) expect([relation, filesAfter[relation]]).toEqual([relation, file]);
    // The index on an expression is of use at once: its statistics are there.
    const [{ known = 0 } = {}] = await fixture.sql`
      select count(*)::int as known from pg_stats where schemaname = ${name.schema}
        and tablename = ${`${name.table}_correlation_ix`}`;
    expect(known).toBe(1);
    // What act-pg reads as a number stays int4, or is as narrow when it is new.
    const catalog = await catalogOf(name);
    for (const column of [
      /^column T\.\d+ id: integer/,
      /T_streams\.\d+ at: integer/,
      /T_streams\.\d+ correlated_at: integer/,
      /T_correlated\.\d+ at: integer/,
    ])
      expect(catalog).toContainEqual(expect.stringMatching(column));

    await expectStoreWorks(name, layout);
  });
});

/** The store goes on where act-pg stopped. */
async function expectStoreWorks(name: TableName, { missing }: Layout): Promise<void> {
  const store = fixture.store(name);
  const [next] = await store.commit("s-0", [{ name: "L".repeat(150), data: {} }], meta, 9);
  expect(next).toMatchObject({ id: EVENTS + 1, version: 10 });
  const loaded: Committed<Schemas, string>[] = [];
  await store.query<Schemas>((event) => loaded.push(event), {
    stream: "s-0",
    stream_exact: true,
    with_snaps: true,
  });
  expect(loaded.map(({ id }) => id)).toEqual([60, 61]);
  const leases = await store.claim(20, 0, "w", 60_000);
  // t-3 is blocked, t-5 deferred, t-7 leased; t-9 stands at 54 and got the log's mark.
  const eligible = ["t-0", "t-1", "t-2", "t-4", "t-6", "t-8", "t-9"];
  if (missing.includes("deferred_at")) eligible.push("t-5");
  expect(leases.map(({ stream }) => stream).sort()).toEqual(eligible.sort());
  expect(await store.ack(leases.map((lease) => ({ ...lease, at: 61 })))).toHaveLength(leases.length);
  expect((await store.subscribe([{ stream: "new", correlated_at: 61, priority: 3 }], 61)).subscribed).toBe(1);
  expect(await store.unblock({})).toBe(1);
  // act-pg leaves the counter of a new row to the column's default.
  const [bare] = await fixture.sql.unsafe(
    `insert into ${tablesOf(name).streams} (stream) values ('bare') returning retry`,
  );
  expect(bare?.retry).toBe(-1);
}

test("subscriptions without a mark get the log's last event as theirs, and the others keep their mark", async () => {
  const name = await made();
  const store = await fixture.seeded(name);
  const marks: unknown[] = [];
  await store.query_streams(({ stream, correlated_at }) => marks.push([stream, correlated_at]));
  expect(marks).toEqual(Array.from({ length: 10 }, (_, k) => [`t-${k}`, k === 9 ? EVENTS : 54]));
});

test("a subscription of this store that has no mark keeps none, because it has no work", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  await store.commit("s", [{ name: "A", data: {} }], meta);
  await store.subscribe([{ stream: "idle" }]);
  await fixture.sql.unsafe(`comment on table ${tablesOf(name).events} is null`);
  await fixture.seeded(name);
  expect(await store.claim(1, 0, "w", 1_000)).toEqual([]);
});

test("act-pg boots and works on the tables afterwards, with numbers as numbers", async () => {
  for (const layout of [
    { missing: ["correlated_at", "deferred_at", "pii"], checkpoint: "none" },
    { checkpoint: "keyed" },
  ] as const) {
    const name = await made(layout);
    const store = await fixture.seeded(name);
    const theirs = actPg(name);
    const before = await catalogOf(name);
    await theirs.seed();
    const added = (await catalogOf(name)).filter((fact) => !before.includes(fact));
    expect(added.map((fact) => /T_\w+_ix/.exec(fact)?.[0])).toEqual(
      added.map(() => expect.stringMatching(/_(claim|fetch)_ix$/)),
    );

    const [event] = await theirs.commit("s-1", [{ name: "Theirs", data: {} }], meta, 9);
    expect(event).toMatchObject({ id: EVENTS + 1, version: 10 });
    await store.subscribe([{ stream: "t-1", correlated_at: EVENTS + 1 }], 50);
    const subscribed = await theirs.subscribe([{ stream: "theirs", correlated_at: 61 }], 45);
    expect(subscribed).toEqual({ subscribed: 1, watermark: 54, correlated_at: 50 });
    const leases = await theirs.claim(20, 0, "they", 60_000);
    expect(leases.find(({ stream }) => stream === "theirs")).toMatchObject({ at: -1, retry: 0 });
    expect(await theirs.ack(leases.map((lease) => ({ ...lease, at: 61 })))).toHaveLength(leases.length);
    await theirs.query_streams(({ at, correlated_at }) =>
      expect([typeof at, typeof correlated_at]).toEqual(["number", "number"]),
    );
    // And it is still up to date for this store.
    const lines = recordLog("info");
    await store.seed();
    expect(lines).toEqual([]);
  }
});

test("an act-pg that keeps one checkpoint, under an id, goes on to upsert it", async () => {
  const name = await made({ checkpoint: "single" });
  const { correlated } = tablesOf(name);
  const store = await fixture.seeded(name);
  const upsert = (at: number) =>
    fixture.sql.unsafe(`insert into ${correlated} as c (id, at) values (1, ${at})
      on conflict (id) do update set at = greatest(c.at, excluded.at)`);
  await upsert(50);
  expect((await store.subscribe([], 48)).correlated_at).toBe(50);
  expect(await store.subscribe([], 55, { key: "app", by: "w", millis: 1_000 })).toMatchObject({
    correlating: true,
  });
  await upsert(52);
  expect(await fixture.sql.unsafe(`select key, id, at from ${correlated} order by key`)).toEqual([
    { key: "", id: 1, at: 55 },
    { key: "app", id: null, at: 55 },
  ]);
});

test("an empty checkpoint table with an id is adopted too", async () => {
  const name = await made({ checkpoint: "single" });
  const { correlated } = tablesOf(name);
  await fixture.sql.unsafe(`delete from ${correlated}`);
  const store = await fixture.seeded(name);
  expect((await store.subscribe([], 7)).correlated_at).toBe(7);
  await fixture.sql.unsafe(
    `insert into ${correlated} (id, at) values (1, 9) on conflict (id) do update set at = excluded.at`,
  );
  expect((await store.subscribe([])).correlated_at).toBe(9);
});

/** What PostgreSQL does not change with a column: the statements that make it and drop it, and the column that it uses. */
const USERS: Readonly<Record<string, (of: { events: string; own: string }) => [string, string, RegExp]>> = {
  "a view": ({ events, own }) => [
    `create view ${own} as select stream, count(*) from ${events} group by stream`,
    `drop view ${own}`,
    /"stream" .* used by view \S+_own:/,
  ],
  "a materialized view": ({ events, own }) => [
    `create materialized view ${own} as select name from ${events}`,
    `drop materialized view ${own}`,
    /"name" .* used by view \S+_own:/,
  ],
  "a trigger's condition": ({ events, own }) => [
    `create function ${own}() returns trigger language plpgsql as 'begin return new; end';
      create trigger own before insert on ${events} for each row when (new.name = 'X') execute function ${own}()`,
    `drop trigger own on ${events}; drop function ${own}()`,
    /"name" .* used by trigger own on \S+:/,
  ],
  "the columns of a trigger": ({ events, own }) => [
    `create function ${own}() returns trigger language plpgsql as 'begin return new; end';
      create trigger own before update of stream on ${events} for each row execute function ${own}()`,
    `drop trigger own on ${events}; drop function ${own}()`,
    /"stream" .* used by trigger own on \S+:/,
  ],
  "a generated column": ({ events }) => [
    `alter table ${events} add column kind text generated always as (split_part(stream, '-', 1)) stored`,
    `alter table ${events} drop column kind`,
    /"stream" .* used by generated column kind:/,
  ],
  "a policy": ({ events }) => [
    `create policy own on ${events} using (stream like 'a%')`,
    `drop policy own on ${events}`,
    /"stream" .* used by policy own on \S+:/,
  ],
  "a function in SQL": ({ events, own }) => [
    `create function ${own}() returns bigint language sql begin atomic select count(*) from ${events} where name = 'X'; end`,
    `drop function ${own}()`,
    /"name" .* used by function \S+_own\(\):/,
  ],
  "a rule": ({ events }) => [
    `create rule own as on update to ${events} where new.stream = 'X' do instead nothing`,
    `drop rule own on ${events}`,
    /"stream" .* used by rule own on \S+:/,
  ],
};

test.each(Object.keys(USERS))(
  "a column that has to change and is used by %s is named with its user, and nothing is changed",
  async (what) => {
    const name = await made({ text: "varchar(100)" });
    const { events } = tablesOf(name);
    const statements = USERS[what]?.({ events, own: `"${name.schema}"."${name.table}_own"` });
    if (!statements) throw new Error("each has its statements");
    const [create, drop, said] = statements;
    await fixture.sql.unsafe(create);
    const before = await catalogOf(name);
    const cause = await causeOf(fixture.store(name).seed());
    expect(cause).toMatch(said);
    expect(cause).toMatch(/^the type of .* has to change, .*: drop what uses it, seed, and create it again/);
    expect(await catalogOf(name)).toEqual(before);

    await fixture.sql.unsafe(drop);
    await fixture.seeded(name);
  },
);

test("a column that a publication filters by is named with the publication", async (context) => {
  const [server] = await fixture.sql`select current_setting('server_version_num')::int as version`;
  if (Number(server?.version) < 150_000) return context.skip("PostgreSQL 14 has no filters of rows");
  const name = await made({ text: "varchar(100)" });
  const publication = `"${name.schema}_${name.table}"`.toLowerCase();
  await fixture.sql.unsafe(
    `create publication ${publication} for table ${tablesOf(name).events} where (name = 'X')`,
  );
  onTestFinished(async () => void (await fixture.sql.unsafe(`drop publication if exists ${publication}`)));
  expect(await causeOf(fixture.store(name).seed())).toMatch(
    /"name" .* used by publication \S+, which filters/,
  );
  await fixture.sql.unsafe(`drop publication ${publication}`);
  await fixture.seeded(name);
});

test("an adopted table of another owner is refused with the reason", async () => {
  const name = await made({ text: "varchar(100)" });
  const role = `${name.table}_${fixture.database.name}`.slice(0, 60);
  const [row] = await fixture.sql`select rolsuper as able from pg_roles where rolname = current_user`;
  if (!row?.able) return;
  await fixture.sql.unsafe(
    `create role "${role}" login password 'x'; grant usage on schema "${name.schema}" to "${role}"`,
  );
  onTestFinished(async () => void (await fixture.sql.unsafe(`drop owned by "${role}"; drop role "${role}"`)));
  const url = new URL(name.url);
  url.username = role;
  url.password = "x";
  expect(await causeOf(fixture.store({ ...name, url: url.href }).seed())).toMatch(
    /permission denied.*lacks a privilege/,
  );
});
