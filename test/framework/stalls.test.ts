/**
 * Work that no event announces, and nobody polls for: processes that listen find it by themselves within ten seconds.
 * While a test waits, nobody commits anything.
 */
import { act, type Store } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { Account, actor, on, settled, stopping, useApps, writer } from "./fixture.ts";
import { Worker } from "./workers.ts";

const fixture = useApps();

const SOON = 10_000;
const LEASE = 1_500;
const STREAMS = ["a", "b", "c", "d", "e", "f"];

const start = (
  store: PostgresStore,
  names: readonly string[],
  options?: Parameters<typeof Worker.start>[3],
) => Promise.all(names.map((name) => Worker.start(fixture, store, name, options)));

const crowd = (count: number, name = "w") => Array.from({ length: count }, (_, n) => `${name}${n}`);

/** Waits until nothing is left to do. */
const finished = (store: PostgresStore, timeout: number) =>
  expect.poll(() => fixture.unfinished(store), { timeout, interval: 50 }).toEqual([]);

/** Workers that have handled one event of each stream, and know of nothing more to do. */
async function idle(count: number, options?: Parameters<typeof Worker.start>[3]) {
  const store = await fixture.seeded({ notify: true });
  const workers = await start(store, crowd(count), options);
  for (const stream of STREAMS) await writer(store)(stream, 1);
  await expect.poll(() => done(store), { timeout: 30_000 }).toBe(STREAMS.length);
  await finished(store, 30_000);
  return { store, workers };
}

/** How many deliveries the handlers of this store have noted. */
const done = async (store: PostgresStore) => (await fixture.worked(`${store.config.table}-`)).length;

const expectDone = (store: PostgresStore, count: number) =>
  expect.poll(() => done(store), { timeout: SOON, interval: 50 }).toBe(count);

const counts = [2, 20];

test.each(counts)(
  "what two killed processes held is taken over by %i others",
  { timeout: 120_000 },
  async (count) => {
    const store = await fixture.seeded({ notify: true });
    const victims = await start(store, ["v0", "v1"], { hold: true, leaseMillis: LEASE });
    for (const stream of STREAMS) await writer(store)(stream, 1);
    await expect.poll(() => victims.filter(({ entered }) => entered.length > 0).length).toBe(2);
    for (const victim of victims) victim.kill("SIGKILL");
    for (const victim of victims) await victim.exit();
    await start(store, crowd(count), { leaseMillis: LEASE });
    await expectDone(store, STREAMS.length);
    await finished(store, SOON);
  },
);

test.each(counts)(
  "the backlog of a process that was stopped is done by %i others",
  { timeout: 120_000 },
  async (count) => {
    const store = await fixture.seeded({ notify: true });
    const [stopped] = await start(store, ["stopped"], { hold: true, streamLimit: 1, leaseMillis: LEASE });
    for (const stream of STREAMS) await writer(store)(stream, 1);
    await expect.poll(() => stopped?.entered.length).toBe(1);
    stopped?.kill("SIGTERM");
    await stopped?.exit();
    expect(await done(store)).toBeLessThan(STREAMS.length);
    await start(store, crowd(count));
    await expectDone(store, STREAMS.length);
  },
);

test("events that were committed while no process listened are handled by the next one", async () => {
  const store = await fixture.seeded({ notify: true });
  for (const stream of STREAMS) await writer(store)(stream, 1);
  await start(store, ["late"]);
  await expectDone(store, STREAMS.length);
});

test.each(counts)(
  "reset, unblock, defer, prioritize and subscribe from outside wake %i processes",
  { timeout: 180_000 },
  async (count) => {
    const { store, workers } = await idle(count);
    const outside = fixture.beside(store);
    const behind = ["of-a", "of-b", "of-c"];
    const { sql } = fixture;
    const streams = sql`${sql(store.config.schema)}.${sql(`${store.config.table}_streams`)}`;
    let total = STREAMS.length;

    await outside.reset(["of-a", "of-b", "of-c", "of-d", "of-e", "of-f"]);
    total += STREAMS.length;
    await expectDone(store, total);
    await finished(store, SOON);

    // As an app leaves them that has given up: set back by hand, so that nothing is announced.
    await sql`update ${streams} set at = -1, blocked = true, error = 'poison' where stream in ${sql(behind)}`;
    await outside.unblock(behind);
    total += behind.length;
    await expectDone(store, total);
    await finished(store, SOON);

    await sql`update ${streams} set at = -1, deferred_at = now() + interval '1 hour' where stream in ${sql(behind)}`;
    await outside.defer(behind, Date.now() + 2_000);
    total += behind.length;
    await expectDone(store, total);
    await finished(store, SOON);

    await sql`update ${streams} set at = -1 where stream in ${sql(behind)}`;
    await outside.prioritize({ stream: "^of-[abc]$" }, 5);
    total += behind.length;
    await expectDone(store, total);
    await finished(store, SOON);

    await sql`delete from ${streams} where stream in ${sql(behind)}`;
    const given = behind.map((stream) => ({ stream, source: stream.slice("of-".length), lane: "work" }));
    // A mark is the last event that its source has: the framework claims without end what can never reach its mark.
    const marked = given.map(async (entry) => {
      const events = await fixture.events(store, entry.source);
      return { ...entry, correlated_at: events.at(-1)?.id };
    });
    await outside.subscribe(await Promise.all(marked));
    total += behind.length;
    await expectDone(store, total);

    // One stream needs one worker, and most of the others are not woken for it.
    if (count > 10) {
      await finished(store, SOON);
      const before = workers.map(({ woken }) => woken);
      await outside.reset(["of-a"]);
      total += 1;
      await expectDone(store, total);
      await finished(store, SOON);
      const woken = workers.filter((worker, n) => worker.woken > (before[n] ?? 0)).length;
      expect(woken).toBeGreaterThan(0);
      expect(woken).toBeLessThan(count / 2);
    }
  },
);

/** An app in this process, and the streams whose events it has handled. */
function worker(store: Store) {
  const handled: string[] = [];
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(async function work({ stream }) {
        handled.push(stream);
      })
      .to(({ stream }) => ({ target: `of-${stream}`, source: stream }))
      .build(on(store)),
  );
  return { app, handled };
}

const handledSoon = (handled: string[], streams: string[]) =>
  expect.poll(() => handled, { timeout: SOON, interval: 20 }).toEqual(streams);

test.each(counts)(
  "an event is correlated by %i others although the process that was to correlate was killed",
  { timeout: 120_000 },
  async (count) => {
    const store = await fixture.seeded({ notify: true });
    const workers = await start(store, crowd(count));
    const [victim] = await start(store, ["victim"]);
    // The victim correlates its own event first, and so holds the lease.
    const { sql } = fixture;
    const correlated = sql`${sql(store.config.schema)}.${sql(`${store.config.table}_correlated`)}`;
    const mine = () =>
      sql<{ key: string }[]>`select key from ${correlated} where key <> '' and leased_until > now()`;
    victim?.tell({ settle: true });
    await expect.poll(mine, { timeout: SOON, interval: 10 }).toHaveLength(1);
    victim?.kill("SIGKILL");
    await victim?.exit();
    await writer(store)("late", 1);
    await expectDone(store, 1);
    // Each was told of the event once, and of those that look when the lease has ended most find it correlated.
    const woken = workers.reduce((sum, each) => sum + each.woken, 0);
    expect(woken).toBeGreaterThan(count);
    if (count > 10) expect(woken).toBeLessThan(1.5 * count);
  },
);

test("an own event is correlated although a process without notify holds the lease", async () => {
  const store = await fixture.seeded({ notify: true });
  const deaf = worker(fixture.beside(store, { notify: false }));
  await deaf.app.do("deposit", { stream: "first", actor }, { amount: 1 });
  await settled(deaf.app);
  const { app, handled } = worker(store);
  await app.do("deposit", { stream: "own", actor }, { amount: 1 });
  await settled(app);
  expect(handled).toEqual([]);
  await handledSoon(handled, ["own"]);
});

test.each(["correlated", "streams"])(
  "an event is handled although it could not be correlated while _%s was locked",
  async (table) => {
    const store = await fixture.seeded({ notify: true });
    const { app, handled } = worker(fixture.beside(store, { statement_timeout: 300 }));
    await settled(app);
    await writer(store)("first", 1);
    await handledSoon(handled, ["first"]);
    const failed = new Promise<void>((resolve) => app.on("error", () => resolve()));
    const { sql } = fixture;
    await sql.begin(async (transaction) => {
      await transaction`lock table ${sql(store.config.schema)}.${sql(`${store.config.table}_${table}`)} in access exclusive mode`;
      await writer(store)("late", 1);
      await failed;
    });
    await handledSoon(handled, ["first", "late"]);
  },
);

test("an app handles what another app on the same store has committed", async () => {
  const store = await fixture.seeded({ notify: true });
  const { app, handled } = worker(store);
  await settled(app);
  await writer(store)("of the other", 1);
  await handledSoon(handled, ["of the other"]);
});
