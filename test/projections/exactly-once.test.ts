/** exactlyOnce(): an event changes a read model once, however often it is delivered, on each driver of Drizzle. */
import { act, DeferSignal, projection } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { exactlyOnce } from "../../src/projections/index.ts";
import { Account, actor, Deposited, on, settled, stopping, useApps, writer } from "../framework/fixture.ts";
import {
  count,
  counted,
  DRIVERS,
  drained,
  folded,
  onNodePostgres,
  positions,
  positionsOf,
} from "./fixture.ts";

const fixture = useApps();

/** Deposits on three streams, seven of them. */
async function deposited(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (let n = 1; n <= 7; n++) await deposit(`s${n % 3}`, n);
  return store;
}

/** Delivers everything again, as after the loss of every acknowledgement. */
const redeliver = (store: PostgresStore) => store.reset({});

for (const [driver, open] of Object.entries(DRIVERS)) {
  test(`on ${driver}, an event that is delivered again to .do changes nothing`, async () => {
    const [db, store] = [await open(), await deposited()];
    const once = exactlyOnce({ db, projection: "per-event" });
    const balances = projection("per-event")
      .on({ Deposited })
      .do(once.do((event, tx) => count(tx, event)))
      .build();
    const app = stopping(act().withState(Account).withProjection(balances).build(on(store)));
    for (let round = 0; round < 2; round++) {
      await drained(app, fixture, store);
      expect(await counted(db)).toEqual(await folded(fixture, store));
      await app.reset(["per-event"]);
    }
    expect(await positionsOf(db)).toEqual([
      { projection: "per-event", target: "per-event", at: 7, handlers: ["per-event"] },
    ]);
  });

  test(`on ${driver}, a batch that is delivered again changes nothing, and its new events are counted`, async () => {
    const [db, store] = [await open(), await deposited()];
    const sizes: number[] = [];
    const once = exactlyOnce({ db, projection: "batched" });
    const balances = projection("batched")
      .on({ Deposited })
      .do(async function unused() {})
      .batch(
        once.batch(async (events, tx, stream) => {
          sizes.push(events.length);
          for (const event of events) await count(tx, event);
          expect(stream).toBe("batched");
        }),
      )
      .build();
    const app = stopping(act().withState(Account).withProjection(balances).build(on(store)));
    await drained(app, fixture, store);
    await writer(store)("s1", 100);
    await app.reset(["batched"]);
    await drained(app, fixture, store);
    expect(sizes).toEqual([7, 1]);
    expect(await counted(db)).toEqual(await folded(fixture, store));
  });

  test(`on ${driver}, a flush that is repeated gets only the streams that have moved`, async () => {
    const [db, store] = [await open(), await deposited()];
    const flushed: string[][] = [];
    const once = exactlyOnce({ db, projection: "folded" });
    const build = () =>
      stopping(
        act()
          .withState(Account)
          .withProjection(
            projection("folded")
              .of(Account)
              .flush(
                once.flush(async (rows, tx) => {
                  flushed.push(rows.map(({ stream }) => stream).sort());
                  for (const { stream, state } of rows)
                    await count(tx, { stream, data: { amount: state.balance } });
                }),
              )
              .build(),
          )
          .build(on(store)),
      );
    await drained(build(), fixture, store);
    await writer(store)("s1", 100);
    await redeliver(store);
    await drained(build(), fixture, store);
    expect(flushed).toEqual([["s0", "s1", "s2"], ["s1"]]);
    expect(await positionsOf(db)).toMatchObject([
      { target: "s0" },
      { target: "s1", at: 8 },
      { target: "s2" },
    ]);
  });

  test(`on ${driver}, what the handler wrote and its position are undone together when it throws`, async () => {
    const [db, store] = [await open(), await deposited()];
    let failing = true;
    const once = exactlyOnce({ db, projection: "throws" });
    const balances = projection("throws")
      .on({ Deposited })
      .do(
        once.do(async (event, tx) => {
          await count(tx, event);
          if (failing && event.id === 4) throw new Error("down");
        }),
      )
      .build();
    const app = stopping(act().withState(Account).withProjection(balances).build(on(store)));
    await settled(app, { leaseMillis: 50 });
    expect((await counted(db)).reduce((sum, { events }) => sum + events, 0)).toBe(3);
    expect(await positionsOf(db)).toMatchObject([{ at: 3 }]);
    failing = false;
    await drained(app, fixture, store, 50);
    expect(await counted(db)).toEqual(await folded(fixture, store));
  });
}

test("several handlers of one event and one target run once each, also if one of them failed in between", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const ran: string[] = [];
  let failing = true;
  const once = exactlyOnce({ db, projection: "several" });
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(
        once.do(async function first(event, tx) {
          ran.push(`first ${event.id}`);
          await count(tx, event);
        }),
      )
      .to("several")
      .on("Deposited")
      .do(
        once.do(async function second(event) {
          if (failing && event.id === 3) throw new Error("down");
          ran.push(`second ${event.id}`);
        }),
      )
      .to("several")
      .build(on(store)),
  );
  await settled(app, { leaseMillis: 50 });
  failing = false;
  await drained(app, fixture, store, 50);
  await redeliver(store);
  await app.reset(["several"]);
  await drained(app, fixture, store, 50);
  const each = [1, 2, 3, 4, 5, 6, 7].flatMap((id) => [`first ${id}`, `second ${id}`]);
  expect(ran).toEqual(each);
  expect(await positionsOf(db)).toMatchObject([{ at: 7, handlers: ["first", "second"] }]);
});

test("two projections with one target each have a position of their own", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const ran = { a: 0, b: 0 };
  const a = exactlyOnce({ db, projection: "a" });
  const b = exactlyOnce({ db, projection: "b" });
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(a.do(async () => void ran.a++))
      .to("shared")
      .on("Deposited")
      .do(b.do(async () => void ran.b++))
      .to("shared")
      .build(on(store)),
  );
  await drained(app, fixture, store);
  await app.reset(["shared"]);
  await drained(app, fixture, store);
  expect(ran).toEqual({ a: 7, b: 7 });
});

test("a target that many streams feed counts each event once", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  const once = exactlyOnce({ db, projection: "days" });
  const balances = projection()
    .on({ Deposited })
    .do(once.do((event, tx, day) => count(tx, { ...event, stream: day })))
    .to(({ data }) => ({ target: data.amount % 2 ? "odd" : "even" }))
    .build();
  const app = stopping(act().withState(Account).withProjection(balances).build(on(store)));
  for (let round = 0; round < 2; round++) {
    await drained(app, fixture, store);
    await app.reset(["odd", "even"]);
  }
  expect(await counted(db)).toEqual([
    { stream: "even", total: 12, events: 3 },
    { stream: "odd", total: 16, events: 4 },
  ]);
});

test("a holder that overlaps another waits for its transaction, and then finds the event done", async () => {
  const db = await onNodePostgres();
  const once = exactlyOnce({ db, projection: "overlap" });
  const entered = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let calls = 0;
  const handler = once.do(async (event: { id: number; stream: string; data: { amount: number } }, tx) => {
    calls++;
    await count(tx, event);
    entered.resolve();
    await release.promise;
  });
  const event = { id: 5, stream: "s", data: { amount: 10 } };
  const first = handler(event, "target");
  await entered.promise;
  const second = handler(event, "target");
  await expect
    .poll(async () => (await db.execute(sql`select 1 from pg_locks where not granted`)).rows.length)
    .toBeGreaterThan(0);
  release.resolve();
  await Promise.all([first, second]);
  expect(calls).toBe(1);
  expect(await counted(db)).toEqual([{ stream: "s", total: 10, events: 1 }]);
});

test("an event that is older than the position is not handled", async () => {
  const db = await onNodePostgres();
  const ran: number[] = [];
  const handler = exactlyOnce({ db, projection: "old" }).do(
    async ({ id }: { id: number }) => void ran.push(id),
  );
  for (const id of [3, 7, 5, 7, 8]) await handler({ id }, "t");
  expect(ran).toEqual([3, 7, 8]);
});

test("a handler that defers its event writes nothing, and is called again", async () => {
  const [db, store] = [await onNodePostgres(), await deposited()];
  let deferred = 0;
  const once = exactlyOnce({ db, projection: "deferring" });
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(
        once.do(async (event, tx) => {
          await count(tx, event);
          if (event.id === 4 && deferred++ < 2) throw new DeferSignal({ at: new Date() });
        }),
      )
      .to("deferring")
      .build(on(store)),
  );
  await drained(app, fixture, store);
  expect(deferred).toBe(3);
  expect(await counted(db)).toEqual(await folded(fixture, store));
});

test("a reaction acts within the chain of its event, and nested transactions work", async () => {
  const [db, store] = [await onNodePostgres(), await fixture.seeded()];
  const once = exactlyOnce({ db, projection: "chain" });
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(
        once.do(async (event, tx, stream, own) => {
          await tx.transaction((inner) => count(inner, event));
          await tx.transaction((inner) => count(inner, event).then(() => inner.rollback())).catch(() => {});
          if (event.data.amount < 3)
            await own.do("deposit", { stream: event.stream, actor }, { amount: event.data.amount + 1 });
          expect(stream).toBe(event.stream);
        }),
      )
      .build(on(store)),
  );
  await app.do("deposit", { stream: "s", actor }, { amount: 1 });
  await drained(app, fixture, store);
  expect(await counted(db)).toEqual([{ stream: "s", total: 6, events: 3 }]);
  const events = await fixture.events(store);
  expect(events.map(({ meta }) => meta.causation.event?.id)).toEqual([undefined, 1, 2]);
});

test("a deadlock is run again, and costs no attempt of the framework", async () => {
  const db = await onNodePostgres();
  await db.execute(sql`insert into counters values ('a', 0, 0), ('b', 0, 0)`);
  const both = Promise.withResolvers<void>();
  let holding = 0;
  const once = exactlyOnce({ db, projection: "deadlock" });
  const handler = once.do(async (_: { id: number }, tx, target) => {
    const order = target === "one" ? ["a", "b"] : ["b", "a"];
    for (const stream of order) {
      await tx.execute(sql`update counters set events = events + 1 where stream = ${stream}`);
      if (++holding === 2) both.resolve();
      await both.promise;
    }
  });
  await Promise.all([handler({ id: 1 }, "one"), handler({ id: 1 }, "two")]);
  expect((await counted(db)).map(({ events }) => events)).toEqual([2, 2]);
});

test("events that were fetched before a rebuild are not written into the run after it", async () => {
  const db = await onNodePostgres();
  const ran: number[] = [];
  const once = exactlyOnce({ db, projection: "fenced" });
  const handler = once.do(async ({ id }: { id: number }) => void ran.push(id));
  const batch = once.batch(
    async (events: readonly { id: number }[]) => void ran.push(...events.map((e) => e.id)),
  );
  for (const id of [1, 2, 3]) await handler({ id }, "t");
  await batch([{ id: 1 }], "b");
  // What a rebuild does, in one transaction with the clearing of the tables.
  const raised = { at: -1, handlers: null, generation: sql`generation + 1`, since: sql`clock_timestamp()` };
  await db.update(positions).set(raised);
  await expect(handler({ id: 4 }, "t")).rejects.toBeInstanceOf(DeferSignal);
  await expect(batch([{ id: 2 }], "b")).rejects.toMatchObject({ code: "SUPERSEDED" });
  // A process that was up before the rebuild, and may have claimed before it.
  const other = exactlyOnce({ db, projection: "fenced" }).do(
    async ({ id }: { id: number }) => void ran.push(-id),
  );
  await expect(other({ id: 4 }, "t")).rejects.toBeInstanceOf(DeferSignal);
  expect(ran).toEqual([1, 2, 3, 1]);
  await handler({ id: 1 }, "t");
  await other({ id: 2 }, "t");
  await batch([{ id: 1 }], "b");
  expect(ran).toEqual([1, 2, 3, 1, 1, -2, 1]);
});

for (const [driver, open] of Object.entries(DRIVERS))
  for (const shape of ["do", "batch", "flush"] as const)
    test(`on ${driver}, a .${shape} handler that catches the failure of a query fails, and nothing is skipped`, async () => {
      const db = await open();
      const once = exactlyOnce({ db, projection: "careless" });
      type Careless = Parameters<Parameters<typeof db.transaction>[0]>[0];
      const work = async (tx: Careless) => {
        // The transaction is lost by this, and COMMIT would be a rollback.
        await tx.execute(sql`select 1 / 0`).catch(() => {});
      };
      const event = { id: 7, event_id: 7, stream: "s1" };
      const handle = {
        do: () => once.do(async (_: typeof event, tx) => work(tx))(event, "careless"),
        batch: () => once.batch(async (_: readonly (typeof event)[], tx) => work(tx))([event], "careless"),
        flush: () => once.flush(async (_: readonly (typeof event)[], tx) => work(tx))([event]),
      };
      await expect(handle[shape]()).rejects.toThrow(/went on|division by zero/);
      expect(await positionsOf(db)).toEqual([]);
    });

test("transactions that would not see a rebuild's end are refused, and nothing is written", async () => {
  const db = await onNodePostgres();
  const strict = Object.assign(Object.create(db) as typeof db, {
    transaction: (work: Parameters<typeof db.transaction>[0]) =>
      db.transaction(work, { isolationLevel: "repeatable read" }),
  });
  const once = exactlyOnce({ db: strict, projection: "strict" });
  const event = { id: 7, event_id: 7, stream: "s1" };
  const handled: string[] = [];
  const handlers = [
    () => once.do(async (_: typeof event) => void handled.push("do"))(event, "strict"),
    () => once.batch(async (_: readonly (typeof event)[]) => void handled.push("batch"))([event], "strict"),
    () => once.flush(async (_: readonly (typeof event)[]) => void handled.push("flush"))([event]),
  ];
  for (const handle of handlers) await expect(handle()).rejects.toThrow(/must be READ COMMITTED/);
  expect([handled, await positionsOf(db)]).toEqual([[], []]);
});
