/** rebuild(): the new tables are what the old ones were, and what cannot be swapped is refused before anything is written. */
import { eq, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { actPositions, rebuild } from "../../src/projections/index.ts";
import { Deposited, useApps, writer } from "../framework/fixture.ts";
import { nodePool } from "../support/node-pool.ts";
import { counted, counters, type Db, folded, onNodePostgres, positionsOf, schema } from "./fixture.ts";

const fixture = useApps();

async function deposited(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (let n = 1; n <= 7; n++) await deposit(`s${n % 3}`, n);
  return store;
}

type Counters = { counters: typeof counters };
type Deposits = readonly { readonly stream: string; readonly data: { readonly amount: number } }[];
type Tx = Parameters<Parameters<Db["transaction"]>[0]>[0];

const add = async (events: Deposits, tx: Tx, tables: Counters) => {
  for (const { stream, data } of events)
    await tx
      .insert(tables.counters)
      .values({ stream, total: data.amount, events: 1 })
      .onConflictDoUpdate({
        target: tables.counters.stream,
        set: {
          total: sql`${tables.counters.total} + excluded.total`,
          events: sql`${tables.counters.events} + 1`,
        },
      });
};

const options = (store: PostgresStore, db: Db) => ({
  db,
  store,
  projection: "counts",
  events: { Deposited },
  tables: { counters },
  apply: add,
});

test.each([
  [
    "a publication of all tables",
    "create publication everything for all tables; alter table act_positions replica identity full",
    /publication everything/,
  ],
  [
    "a function that takes its rows",
    "create function worth(c counters) returns int language sql as 'select c.total'",
    /function public.worth\(.*\) depends on it/,
  ],
  ["a column of its type elsewhere", "create table kept (of counters)", /public.kept depends on it/],
  ["a rule", "create rule quiet as on delete to counters do instead nothing", /rule quiet is on it/],
  ["a view", "create view totals as select total from counters", /view public.totals reads it/],
  [
    "a trigger",
    "create trigger same before update on counters for each row execute function suppress_redundant_updates_trigger()",
    /trigger same is on it/,
  ],
  ["row-level security", "alter table counters enable row level security", /row-level security/],
  ["an heir", "create table heir () inherits (counters)", /inherits/],
])("%s is an obstacle that the error names, and nothing is written", async (_, statement, told) => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  await db.execute(sql.raw(statement));
  const rebuilding = rebuild(options(store, db));
  await expect(rebuilding).rejects.toThrow(told);
  await expect(rebuilding).rejects.toMatchObject({ code: "CANNOT_SWAP" });
  expect(await positionsOf(db)).toEqual([]);
  const { rows } = await db.execute(sql`select nspname from pg_namespace where nspname like 'act_rebuild%'`);
  expect(rows).toEqual([]);
  await rebuild({ ...options(store, db), inPlace: true });
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("names that have to be quoted, keywords among them, and another search_path are no obstacle", async () => {
  const odd = pgSchema("an odd $$ schema");
  const user = odd.table("user", { id: text("id").primaryKey(), name: text("na'me").notNull() });
  const order = odd.table("Or der $& $$", {
    nr: integer("nr").generatedAlwaysAsIdentity({ name: "Numbers" }).primaryKey(),
    user: text("user")
      .notNull()
      .references(() => user.id),
    total: integer("total").notNull(),
  });
  const positions = actPositions({ schema: "an odd $$ schema", table: "po sitions" });
  const [db, store] = [await onNodePostgres({ odd, user, order, positions }), await deposited()];
  await db.execute(sql`create index "to tal" on ${order} (total) where total > 0`);
  const facts = async () => {
    const { rows } = await db.execute(sql`select c.relname, (
        select json_agg(pg_get_constraintdef(oid) order by conname) from pg_constraint where conrelid = c.oid) as constraints,
        (select json_agg(pg_get_indexdef(indexrelid) order by 1) from pg_index where indrelid = c.oid) as indexes
      from pg_class c join pg_namespace n on n.oid = relnamespace
      where nspname like '%odd%' and relkind in ('r', 'S') order by 1`);
    return rows.map((row) => JSON.stringify(row));
  };
  const before = await facts();
  const rebuilding = () =>
    rebuild({
      db,
      store,
      projection: 'an "odd" one\'s',
      positions,
      events: { Deposited },
      tables: { user, order },
      apply: async (events, tx, tables) => {
        for (const { stream, data } of events) {
          await tx.insert(tables.user).values({ id: stream, name: stream }).onConflictDoNothing();
          await tx.insert(tables.order).values({ user: stream, total: data.amount });
        }
      },
    });
  // The second finds what the first has put there.
  for (let n = 0; n < 2; n++) {
    await rebuilding();
    expect(await facts()).toEqual(before);
    const rows = await db
      .select({ id: user.id, total: sql<number>`sum(${order.total})::int` })
      .from(user)
      .innerJoin(order, eq(order.user, user.id))
      .groupBy(user.id)
      .orderBy(user.id);
    expect(rows).toEqual((await folded(fixture, store)).map(({ stream, total }) => ({ id: stream, total })));
  }
});

test("tables are found by the connection's search_path, and stay where they are", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  await db.execute(sql`create schema elsewhere`);
  await db.execute(sql`alter table counters set schema elsewhere`);
  await db.execute(sql`alter table act_positions set schema elsewhere`);
  await db.execute(
    sql`do $$ begin execute format('alter database %I set search_path = elsewhere', current_database()); end $$`,
  );
  const pool = nodePool({ connectionString: db.$client.options.connectionString });
  try {
    const there = drizzle(pool, { schema });
    await rebuild(options(store, there));
    expect(await counted(there)).toEqual(await folded(fixture, store));
    const { rows } = await db.execute(
      sql`select relnamespace::regnamespace::text as "in" from pg_class where relname = 'counters'`,
    );
    expect(rows).toEqual([{ in: "elsewhere" }]);
  } finally {
    await pool.end();
  }
});

test("comment, replica identity and grants are those of the old table, whatever the default privileges are", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  await db.execute(sql`comment on table counters is 'it''s counted'`);
  await db.execute(sql`alter table counters replica identity full`);
  await db.execute(sql`alter default privileges grant select, insert on tables to public`);
  const facts = async () =>
    (
      await db.execute(sql`select relreplident, array(
        select grantee || privilege_type from aclexplode(relacl) where grantee <> relowner) as grants, obj_description(oid, 'pg_class') as comment
        from pg_class where oid = 'counters'::regclass`)
    ).rows;
  const before = await facts();
  await rebuild(options(store, db));
  expect(await facts()).toEqual(before);
});

test("tables that are changed while their shadows are filled are not swapped, and the next call begins anew", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  let migrated = false;
  const migrate = async () => {
    if (!migrated) await db.execute(sql`alter table counters add column note text`);
    migrated = true;
  };
  const changing = {
    ...options(store, db),
    apply: async (events: Deposits, tx: Tx, tables: Counters) => {
      await migrate();
      await add(events, tx, tables);
    },
  };
  await expect(rebuild(changing)).rejects.toThrow(/have been changed while their shadows were filled/);
  expect(await counted(db)).toEqual([]);
  expect(await rebuild(changing)).toMatchObject({ from: -1, events: 7 });
  expect(await counted(db)).toEqual(await folded(fixture, store));
  expect((await db.execute(sql`select note from counters limit 1`)).rows).toEqual([{ note: null }]);
});

test("apply that reads the tables themselves is refused: they are not what is being filled", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const reading = rebuild({
    ...options(store, db),
    apply: async (events, tx, tables) => {
      await tx.query.counters.findFirst({ where: eq(counters.stream, "s1") });
      await add(events, tx, tables);
    },
  });
  await expect(reading).rejects.toThrow(/apply has used one of your tables instead of its shadow/);
  expect(await counted(db)).toEqual([]);
});

test("who comes to swap what another process has begun anew is told so, and no half is swapped in", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const stop = new AbortController();
  let begun = false;
  /** Another process that begins anew, and gets no further, when the first has filled its shadows. */
  const begin = async () => {
    if (begun) return;
    begun = true;
    const other = rebuild({
      ...options(store, db),
      restart: true,
      signal: stop.signal,
      batchSize: 1,
      onProgress: () => stop.abort(new Error("stopped")),
    });
    await expect(other).rejects.toThrow("stopped");
  };
  let filled = false;
  const slow = Object.assign(Object.create(db) as Db, {
    transaction: async (work: (tx: Tx) => Promise<unknown>) => {
      if (filled) await begin();
      return db.transaction(work);
    },
  });
  const first = rebuild({
    ...options(store, slow),
    onProgress: ({ at, head }) => {
      filled = at === head;
    },
  });
  await expect(first).rejects.toMatchObject({ code: "REBUILD_RUNS" });
  expect(begun).toBe(true);
  expect(await counted(db)).toEqual([]);
  await rebuild(options(store, db));
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

for (const inPlace of [false, true])
  test(`a rebuild ${inPlace ? "in place" : "by shadows"} that waits for a reader lets others pass, and goes on after it`, async () => {
    const [db, store] = [await onNodePostgres(), await deposited()];
    const read = Promise.withResolvers<void>();
    const reading = Promise.withResolvers<void>();
    const reader = db.transaction(async (tx) => {
      await tx.select().from(counters);
      reading.resolve();
      await read.promise;
    });
    await reading.promise;
    const rebuilding = rebuild({ ...options(store, db), inPlace });
    // It waits for the reader, and whoever comes then waits behind it, until it gives up.
    const waits = async () => {
      const { rows } = await db.execute(sql`select from pg_locks where not granted
        and database = (select oid from pg_database where datname = current_database())`);
      return rows.length;
    };
    await expect.poll(waits, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
    await db.select().from(counters);
    read.resolve();
    await Promise.all([reader, rebuilding]);
    expect(await counted(db)).toEqual(await folded(fixture, store));
  });

test("who comes back after another process has swapped is told so", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  let other: Promise<unknown> | undefined;
  const first = rebuild({
    ...options(store, db),
    batchSize: 1,
    apply: async (events, tx, tables) => {
      await add(events, tx, tables);
    },
    onProgress: () => {
      other ??= rebuild(options(store, db));
    },
    signal: undefined,
  });
  const ends = await Promise.allSettled([first, first.catch(() => other).then(() => other)]);
  expect(ends.filter(({ status }) => status === "rejected").length).toBeLessThan(2);
  for (const end of ends)
    if (end.status === "rejected") expect(end.reason).toMatchObject({ code: "REBUILD_RUNS" });
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

/** Another log, whose ids begin with 1. */
const restored = (store: PostgresStore, count = 1) =>
  store.restore(async (insert) => {
    const meta = { correlation: "c", causation: {} };
    for (let version = 0; version < count; version++) {
      const event = { id: 0, stream: "new", version, created: new Date(0), name: "Deposited", meta };
      await insert({ ...event, data: { amount: 5 } });
    }
  });

test.each([
  [false, 1],
  [true, 1],
  [false, 20],
  [true, 20],
])(
  "what an interrupted rebuild filled from the log before a restore is not kept (in place: %s, events: %i)",
  async (inPlace, count) => {
    const [db, store] = [await onNodePostgres(), await deposited()];
    const stop = new AbortController();
    const onProgress = () => stop.abort(new Error("stopped"));
    const part = { ...options(store, db), inPlace, batchSize: 3 };
    await expect(rebuild({ ...part, signal: stop.signal, onProgress })).rejects.toThrow("stopped");
    await restored(store, count);
    expect(await rebuild(part)).toMatchObject({ from: -1, events: count, at: count });
    expect(await counted(db)).toEqual(await folded(fixture, store));
  },
);

test.each([false, true])(
  "what an interrupted rebuild filled is kept if the log is the same (in place: %s)",
  async (inPlace) => {
    const [db, store] = [await onNodePostgres(), await deposited()];
    const stop = new AbortController();
    const onProgress = () => stop.abort(new Error("stopped"));
    const part = { ...options(store, db), inPlace, batchSize: 3 };
    await expect(rebuild({ ...part, signal: stop.signal, onProgress })).rejects.toThrow("stopped");
    expect(await rebuild(part)).toMatchObject({ from: 3, events: 4, at: 7 });
    expect(await counted(db)).toEqual(await folded(fixture, store));
  },
);

test("shadows whose record an earlier release has written are filled anew", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const stop = new AbortController();
  const onProgress = () => stop.abort(new Error("stopped"));
  const part = { ...options(store, db), batchSize: 3 };
  await expect(rebuild({ ...part, signal: stop.signal, onProgress })).rejects.toThrow("stopped");
  const { rows } = await db.execute<{ name: string }>(
    sql`select oid::regclass::text as name from pg_class where relname = 'act_rebuild_progress'`,
  );
  await db.execute(sql.raw(`alter table ${rows[0]?.name} drop column mark`));
  expect(await rebuild(part)).toMatchObject({ from: -1, events: 7 });
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test.each([1, 20])(
  "a log of %i that is restored while the shadows are filled is not mixed with the old one",
  async (count) => {
    const [db, store] = [await onNodePostgres(), await deposited()];
    let begun = false;
    const onProgress = async () => {
      if (!begun) await restored(store, count);
      begun = true;
    };
    const first = rebuild({ ...options(store, db), onProgress });
    await expect(first).rejects.toMatchObject({
      code: "CANNOT_SWAP",
      message: expect.stringMatching(/the log was restored meanwhile.*begins anew/),
    });
    expect(await counted(db)).toEqual([]);
    expect(await rebuild(options(store, db))).toMatchObject({ from: -1, events: count });
    expect(await counted(db)).toEqual(await folded(fixture, store));
  },
);
