/** Projections: read models in SQL tables, one event or one batch at a time, and rebuilt from the log. */
import { act, projection } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { Account, actor, Deposited, on, settled, stopping, useApps, writer } from "./fixture.ts";

const fixture = useApps();

/** What SQL makes of the log: the read models must be equal to it. */
const expected = (store: PostgresStore) => fixture.sql<{ stream: string; balance: number }[]>`
  select stream, sum((data ->> 'amount')::int)::int as balance
  from ${fixture.table(store)} where name = 'Deposited' group by stream order by stream collate "C"`;

async function readModel(name: string) {
  await fixture.sql`create table ${fixture.sql(name)} (stream text primary key, balance int, event_id int, writes int)`;
  return () =>
    fixture.sql<{ stream: string; balance: number }[]>`
      select stream, balance from ${fixture.sql(name)} order by stream collate "C"`;
}

/** Adds what each stream of a batch got, in one statement. */
const add = (name: string, events: readonly { stream: string; id: number; data: { amount: number } }[]) =>
  fixture.sql`
    insert into ${fixture.sql(name)} as m (stream, balance, event_id, writes)
    select stream, sum(amount), max(id), 1
    from unnest(${events.map((e) => e.stream)}::text[], ${events.map((e) => e.data.amount)}::int[], ${events.map((e) => e.id)}::int[])
      as e(stream, amount, id) group by stream
    on conflict (stream) do update set
      balance = m.balance + excluded.balance, event_id = excluded.event_id, writes = m.writes + 1`;

test("a projection with a handler per event fills its table", async () => {
  const store = await fixture.seeded();
  const rows = await readModel("per_event");
  const balances = projection("per-event")
    .on({ Deposited })
    .do(async function project(event) {
      await add("per_event", [event]);
    })
    .build();
  const app = stopping(act().withState(Account).withProjection(balances).build(on(store)));
  const deposit = writer(store);
  for (let n = 0; n < 25; n++) await deposit(`s${n % 5}`, n);
  await settled(app);
  expect(await rows()).toEqual(await expected(store));
  expect(await fixture.unfinished(store)).toEqual([]);
});

test("a batch is one call of the handler, however many events there are", async () => {
  const store = await fixture.seeded();
  const rows = await readModel("batched");
  const sizes: number[] = [];
  const balances = projection("batched")
    .on({ Deposited })
    .do(async function single() {})
    .batch(async (events) => {
      sizes.push(events.length);
      await add("batched", events);
    })
    .build();
  const app = stopping(act().withState(Account).withProjection(balances).build(on(store)));
  const deposit = writer(store);
  for (let n = 0; n < 60; n++) await deposit(`s${n % 4}`, n);
  await settled(app, { eventLimit: 50 });
  expect(sizes).toEqual([50, 10]);
  expect(await rows()).toEqual(await expected(store));
  const [{ writes } = {}] = await fixture.sql`select max(writes)::int as writes from batched`;
  expect(writes).toBe(2);
});

test("a batch that fails moves nothing, and is delivered whole again", async () => {
  const store = await fixture.seeded();
  const rows = await readModel("again");
  const seen: number[][] = [];
  const balances = projection("again")
    .on({ Deposited })
    .do(async function single() {})
    .batch(async (events) => {
      seen.push(events.map(({ id }) => id));
      if (seen.length === 1) throw new Error("read model is down");
      await add("again", events);
    })
    .build();
  const app = stopping(act().withState(Account).withProjection(balances).build(on(store)));
  await writer(store)("s", 1, 2, 3);
  await settled(app, { leaseMillis: 50 });
  await expect
    .poll(async () => {
      await settled(app, { leaseMillis: 50 });
      return fixture.unfinished(store);
    })
    .toEqual([]);
  expect(seen).toEqual([seen[0], seen[0]]);
  expect(await rows()).toEqual(await expected(store));
});

const folding = (store: PostgresStore, name: string, flushes: number[]) =>
  stopping(
    act()
      .withState(Account)
      .withProjection(
        projection(name)
          .of(Account, { flushEvery: 1_000 })
          .flush(async (rows) => {
            flushes.push(rows.length);
            for (const { stream, state, event_id } of rows)
              await fixture.sql`
                insert into ${fixture.sql(name)} as m (stream, balance, event_id, writes)
                values (${stream}, ${state.balance}, ${event_id}, 1)
                on conflict (stream) do update set
                  balance = excluded.balance, event_id = excluded.event_id, writes = m.writes + 1
                where m.event_id <= excluded.event_id`;
          })
          .build(),
      )
      .build(on(store)),
  );

test("a state's projection flushes one row per stream, not one per event", async () => {
  const store = await fixture.seeded();
  const rows = await readModel("folded");
  const deposit = writer(store);
  for (let n = 0; n < 80; n++) await deposit(`s${n % 4}`, n);
  const flushes: number[] = [];
  await settled(folding(store, "folded", flushes), { eventLimit: 200 });
  expect(await rows()).toEqual(await expected(store));
  expect(flushes).toEqual([4]);
  const heads = await fixture.sql`
    select f.stream from folded f join ${fixture.table(store)} e on e.id = f.event_id
    where e.id = (select max(id) from ${fixture.table(store)} h where h.stream = f.stream)`;
  expect(heads).toHaveLength(4);
});

test("a projection is rebuilt from the log, in the app that runs", async () => {
  const store = await fixture.seeded();
  const rows = await readModel("rebuilt");
  const flushes: number[] = [];
  const app = folding(store, "rebuilt", flushes);
  for (let n = 1; n <= 30; n++) await app.do("deposit", { stream: `s${n % 3}`, actor }, { amount: n });
  await settled(app, { eventLimit: 100 });
  const filled = await rows();
  expect(filled).toEqual(await expected(store));
  await fixture.sql`truncate rebuilt`;
  expect(await app.reset(["rebuilt"])).toBe(1);
  expect(await fixture.subscription(store, "rebuilt")).toMatchObject({ at: -1, retry: -1 });
  await settled(app, { eventLimit: 100 });
  expect(await rows()).toEqual(filled);
  expect(await fixture.unfinished(store)).toEqual([]);
});

test("two processes with one projection write each event once", async () => {
  const store = await fixture.seeded();
  const rows = await readModel("both");
  const balances = () =>
    projection("both")
      .on({ Deposited })
      .do(async function single() {})
      .batch((events) => add("both", events).then(() => undefined))
      .build();
  const build = (own: PostgresStore) =>
    stopping(act().withState(Account).withProjection(balances()).build(on(own)));
  const apps = [build(store), build(fixture.beside(store))];
  const deposit = writer(store);
  for (let n = 0; n < 40; n++) await deposit(`s${n % 7}`, n);
  await expect
    .poll(async () => {
      await Promise.all(apps.map((app) => settled(app)));
      return fixture.unfinished(store);
    })
    .toEqual([]);
  expect(await rows()).toEqual(await expected(store));
});
