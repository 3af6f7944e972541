/** rebuild(): the tables are filled anew from the log, once for each event, while workers and readers go on. */
import { act, projection } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { exactlyOnce, rebuild, redeliver } from "../../src/projections/index.ts";
import { Account, Deposited, on, settled, stopping, useApps, writer } from "../framework/fixture.ts";
import {
  count,
  counted,
  counters,
  type Db,
  DRIVERS,
  drained,
  folded,
  onNodePostgres,
  positionsOf,
  type Tx,
} from "./fixture.ts";

const fixture = useApps();

type Amounts = readonly { readonly stream: string; readonly data: { readonly amount: number } }[];

/** Adds up a batch in one statement, into the table that it is given. */
async function countAll(events: Amounts, tx: Pick<Tx, "insert">, table: typeof counters): Promise<void> {
  const sums = new Map<string, { stream: string; total: number; events: number }>();
  for (const { stream, data } of events) {
    const sum = sums.get(stream) ?? { stream, total: 0, events: 0 };
    sums.set(stream, { stream, total: sum.total + data.amount, events: sum.events + 1 });
  }
  await tx
    .insert(table)
    .values([...sums.values()])
    .onConflictDoUpdate({
      target: table.stream,
      set: { total: sql`${table.total} + excluded.total`, events: sql`${table.events} + excluded.events` },
    });
}

async function deposited(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (let n = 1; n <= 7; n++) await deposit(`s${n % 3}`, n);
  return store;
}

/** The same counters by Act's own delivery, a target per stream. */
function counting(store: PostgresStore, db: Db) {
  const once = exactlyOnce({ db, projection: "counts" });
  const counts = projection()
    .on({ Deposited })
    .do(once.do((event, tx) => count(tx, event)))
    .to(({ stream }) => ({ target: `counts:${stream}`, source: stream }))
    .build();
  return stopping(act().withState(Account).withProjection(counts).build(on(store)));
}

const options = (store: PostgresStore, db: Db) => ({
  db,
  store,
  projection: "counts",
  events: { Deposited },
  tables: { counters },
  apply: async (events: Amounts, tx: Tx, tables: { counters: typeof counters }) =>
    countAll(events, tx, tables.counters),
});

/** A handler of the projection, to be called as by a worker that has fetched an event. */
const holder = (db: Db) =>
  exactlyOnce({ db, projection: "counts" }).do(
    async (event: { id: number; stream: string; data: { amount: number } }, tx) => count(tx, event),
  );

/** Whether a handler was held. */
const deferred = async (store: PostgresStore) =>
  (await fixture.subscriptions(store)).some(({ due }) => due !== null);

const spoil = (db: Db) => db.update(counters).set({ total: -1 });

for (const [driver, open] of Object.entries(DRIVERS))
  for (const inPlace of [false, true])
    test(`on ${driver}, a rebuild ${inPlace ? "in place" : "by shadows"} makes the tables a fold of the log`, async () => {
      const [db, store] = [await open(), await deposited()];
      const app = counting(store, db);
      await drained(app, fixture, store);
      await spoil(db);
      const told: number[] = [];
      const result = await rebuild({
        ...options(store, db),
        inPlace,
        onProgress: ({ at }) => void told.push(at),
      });
      expect(await counted(db)).toEqual(await folded(fixture, store));
      expect(result).toMatchObject({ events: 7, at: 7, from: -1 });
      expect(told.at(-1)).toBe(7);
      await writer(store)("s1", 100);
      await app.reset({});
      await drained(app, fixture, store);
      expect(await counted(db)).toEqual(await folded(fixture, store));
    });

test("events that a worker had not handled before the swap are not handled after it", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  await rebuild(options(store, db));
  // The targets have no position yet.
  await drained(counting(store, db), fixture, store);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("what is appended while the shadows are filled is in the tables after the swap", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const deposit = writer(store);
  let more = 5;
  await rebuild({
    ...options(store, db),
    onProgress: async () => {
      if (more-- > 0) await deposit(`s${more}`, more + 1);
    },
  });
  await drained(counting(store, db), fixture, store);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

for (const inPlace of [false, true])
  test(`a rebuild ${inPlace ? "in place" : "by shadows"} that was stopped goes on where it was`, async () => {
    const [db, store] = [await onNodePostgres(), await fixture.seeded()];
    await many(store, 3_000);
    const stop = new AbortController();
    const stopped = rebuild({
      ...options(store, db),
      inPlace,
      signal: stop.signal,
      onProgress: () => stop.abort(new Error("stopped")),
    });
    await expect(stopped).rejects.toThrow("stopped");
    const { from, events } = await rebuild({ ...options(store, db), inPlace });
    expect(from).toBeGreaterThan(0);
    expect(events).toBeLessThan(3_000);
    expect(await counted(db)).toEqual(await folded(fixture, store));
  });

/** Events of ten streams, without Act. */
async function many(store: PostgresStore, events: number): Promise<void> {
  const meta = { correlation: "test", causation: {} };
  const commit = (_: unknown, n: number) =>
    store.commit(`s${n % 10}`, [{ name: "Deposited", data: { amount: 1 + (n % 7) } }], meta);
  await Promise.all(Array.from({ length: events }, commit));
}

test("while a rebuild in place is unfinished its handlers write nothing, and nothing is skipped", async () => {
  const [db, store] = [await onNodePostgres(), await fixture.seeded()];
  await many(store, 3_000);
  const app = counting(store, db);
  const stop = new AbortController();
  const onProgress = () => stop.abort(new Error("stopped"));
  await expect(
    rebuild({ ...options(store, db), inPlace: true, signal: stop.signal, onProgress }),
  ).rejects.toThrow("stopped");
  const before = await counted(db);
  await writer(store)("s1", 5);
  app.settle();
  await expect.poll(() => deferred(store)).toBe(true);
  expect(await counted(db)).toEqual(before);
  await rebuild({ ...options(store, db), inPlace: true });
  await app.reset({});
  await drained(app, fixture, store);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("redeliver() clears the tables, and the handlers fill them again", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const app = counting(store, db);
  await drained(app, fixture, store);
  await spoil(db);
  const targets = { stream: "^counts:" };
  expect(await redeliver({ app, db, projection: "counts", tables: { counters }, targets })).toBe(3);
  expect(await counted(db)).toEqual([]);
  await drained(app, fixture, store);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("a redeliver() that died before the reset lets no handler skip events, and is completed by the next", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const app = counting(store, db);
  await drained(app, fixture, store);
  const dying = {
    reset: async () => {
      throw new Error("killed");
    },
  };
  const about = { db, projection: "counts", tables: { counters }, targets: { stream: "^counts:" } };
  await expect(redeliver({ app: dying, ...about })).rejects.toThrow("killed");
  await writer(store)("s1", 5);
  const event = { id: 8, stream: "s1", data: { amount: 5 } };
  await expect(holder(db)(event, "counts:s1")).rejects.toThrow(/being rebuilt in place/);
  expect(await counted(db)).toEqual([]);
  await redeliver({ app, ...about });
  await drained(app, fixture, store);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("who came while a redeliver() was unfinished writes nothing that it fetched before the reset", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const app = counting(store, db);
  await drained(app, fixture, store);
  const about = { db, projection: "counts", tables: { counters }, targets: { stream: "^counts:" } };
  const dying = { reset: () => Promise.reject(new Error("killed")) };
  await expect(redeliver({ app: dying, ...about })).rejects.toThrow("killed");
  // It died an hour ago, and this worker is new.
  await db.execute(sql`update act_positions set since = since - interval '1 hour'`);
  const late = holder(db);
  await writer(store)("s1", 5);
  await redeliver({ app, ...about });
  await expect(late({ id: 8, stream: "s1", data: { amount: 5 } }, "counts:s1")).rejects.toThrow(
    /was rebuilt/,
  );
  await drained(app, fixture, store);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("a redeliver() in which a rebuild comes between delivers nothing a second time, and says so", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const app = counting(store, db);
  const rebuilding = {
    reset: async (targets: { stream?: string } | string[]) => {
      await rebuild(options(store, db));
      return app.reset(targets);
    },
  };
  const about = { db, projection: "counts", tables: { counters }, targets: { stream: "^counts:" } };
  await drained(app, fixture, store);
  await expect(redeliver({ app: rebuilding, ...about })).rejects.toMatchObject({ code: "REBUILD_RUNS" });
  await drained(app, fixture, store);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("a late holder's event is skipped after the swap, and held while a rebuild in place is unfinished", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const late = holder(db);
  const event = { id: 7, stream: "s1", data: { amount: 7 } };
  await rebuild(options(store, db));
  await late(event, "counts:s1");
  await late(event, "a target without a position");
  expect(await counted(db)).toEqual(await folded(fixture, store));
  const apply = async () => {
    throw new Error("killed");
  };
  await expect(rebuild({ ...options(store, db), inPlace: true, apply })).rejects.toThrow("killed");
  await expect(late(event, "counts:s1")).rejects.toThrow(/being rebuilt in place/);
  expect(await counted(db)).toEqual([]);
});

test("apply gets no more events than batchSize, each once and in order, also from one range of ids", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const sizes: number[] = [];
  const ids: number[] = [];
  const { at } = await rebuild({
    ...options(store, db),
    batchSize: 3,
    apply: async (events, tx, tables) => {
      sizes.push(events.length);
      ids.push(...events.map(({ id }) => id));
      await countAll(events, tx, tables.counters);
    },
  });
  expect([sizes, ids, at]).toEqual([[3, 3, 1], [1, 2, 3, 4, 5, 6, 7], 7]);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("ids beyond 2^31 are ids as any other, for handlers and for a rebuild", async () => {
  const [db, store] = [await onNodePostgres(), await fixture.seeded()];
  const first = 3_000_000_000;
  await fixture.sql`select setval(pg_get_serial_sequence(${store.config.table}, 'id'), ${first})`;
  const deposit = writer(store);
  for (let n = 1; n <= 4; n++) await deposit(`s${n % 2}`, n);
  const app = counting(store, db);
  const counts = async () => {
    await settled(app);
    return counted(db);
  };
  await expect.poll(counts).toEqual(await folded(fixture, store));
  await spoil(db);
  expect(await rebuild(options(store, db))).toMatchObject({ events: 4, at: first + 4 });
  expect(await counted(db)).toEqual(await folded(fixture, store));
  await deposit("s1", 100);
  await app.reset({});
  await expect.poll(counts).toEqual(await folded(fixture, store));
  const at = (await positionsOf(db)).map((position) => position.at);
  expect(at).toEqual([first + 4, first + 4, first + 5]);
});

test("a table that another table refers to is not replaced, and the error says why", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  await db.execute(sql`create table notes (stream text references counters (stream))`);
  await expect(rebuild(options(store, db))).rejects.toThrow(/foreign key notes_stream_fkey of public.notes/);
  expect(await positionsOf(db)).toEqual([]);
});

test("the new table has the indexes, the defaults, the sequences and the grants of the old one", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  await db.execute(sql`alter table counters add column nr serial, add column seen timestamptz not null default now(),
    add column of int generated always as identity, add constraint positive check (events > 0)`);
  await db.execute(sql`create index counters_total_ix on counters (total desc) where events > 1`);
  await db.execute(sql`grant select on counters to public`);
  const facts = () =>
    db.execute(sql`select
      (select json_agg(pg_get_indexdef(indexrelid) order by 1) from pg_index where indrelid = 'counters'::regclass) as indexes,
      (select json_agg(conname || pg_get_constraintdef(oid) order by conname) from pg_constraint
        where conrelid = 'counters'::regclass) as constraints,
      (select json_agg(column_name || coalesce(column_default, '') order by ordinal_position)
        from information_schema.columns where table_name = 'counters') as columns,
      pg_get_serial_sequence('counters', 'nr') as serial, pg_get_serial_sequence('counters', 'of') as identity,
      (select relacl::text from pg_class where oid = 'counters'::regclass) as grants`);
  const before = (await facts()).rows;
  await rebuild(options(store, db));
  expect((await facts()).rows).toEqual(before);
  await rebuild(options(store, db));
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("apply that writes to the table itself is refused, and the table is as it was", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  await drained(counting(store, db), fixture, store);
  const wrong = rebuild({ ...options(store, db), apply: (events, tx) => countAll(events, tx, counters) });
  await expect(wrong).rejects.toThrow(/write the tables that it gets/);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});
