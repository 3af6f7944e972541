/** Shutting down in the middle of work: what runs is finished, what waits is left to others, nothing is lost. */
import { act } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { Account, on, settled, stopping, useApps, writer } from "./fixture.ts";
import { Worker } from "./workers.ts";

const fixture = useApps();

/** An app whose handlers wait for `before`. */
function waiting(store: PostgresStore, name: string, before: () => Promise<void>, leaseMillis = 30_000) {
  return stopping(
    act()
      .withState(Account)
      .withLane({ name: "work", leaseMillis, streamLimit: 2 })
      .on("Deposited")
      .do(async function work(event, target) {
        await before();
        await fixture.note(target, event);
      })
      .to(({ stream }) => ({ target: `${name}-${stream}`, source: stream, lane: "work" as const }))
      .build(on(store)),
  );
}

const leased = async (store: PostgresStore) =>
  (await fixture.subscriptions(store)).filter(({ leased_by }) => leased_by !== null).length;

test("an app that shuts down finishes what its handlers have begun, and keeps no lease", async () => {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (const stream of ["a", "b", "c", "d", "e"]) await deposit(stream, 1, 2);
  const leave = gate();
  const app = waiting(store, "finish", () => leave.passed);
  app.settle();
  await expect.poll(() => leased(store)).toBe(2);

  const down = app.shutdown();
  const disposed = down.then(() => store.dispose());
  leave.open();
  await disposed;
  expect(await leased(store)).toBe(0);
  const begun = (await fixture.subscriptions(store)).filter(({ at }) => at > -1);
  expect(begun.length).toBeGreaterThanOrEqual(2);

  const heir = waiting(fixture.beside(store), "finish", async () => {});
  await settled(heir);
  expect(await fixture.unfinished(store)).toEqual([]);
  const work = await fixture.worked("finish-");
  expect(work).toHaveLength(10);
  expect(new Set(work.map(({ event }) => event)).size).toBe(10);
});

test("a handler that runs beyond the grace period of its app loses its lease, and its work is done again", async () => {
  const store = await fixture.seeded();
  await writer(store)("a", 1);
  const leave = gate();
  const stuck = waiting(store, "stuck", () => leave.passed, 1_000);
  stuck.settle();
  await expect.poll(() => leased(store)).toBe(1);
  await stuck.shutdown({ graceMs: 1 });
  await store.dispose();
  expect(await leased(store)).toBe(1);

  const own = fixture.beside(store);
  await expect
    .poll(async () => {
      const heir = waiting(own, "stuck", async () => {});
      await settled(heir);
      await heir.shutdown();
      return fixture.unfinished(own);
    })
    .toEqual([]);
  // The first one's ack comes too late, and to a store that is gone: it must not matter.
  leave.open();
  await expect.poll(() => fixture.worked("stuck-a")).toHaveLength(2);
  expect(await fixture.subscription(own, "stuck-a")).toMatchObject({ at: 1, retry: -1, leased_by: null });
});

test("commits that were under way when the store was disposed of are all there", async () => {
  const store = await fixture.seeded();
  const outcomes = Array.from({ length: 50 }, (_, n) =>
    store
      .commit("s", [{ name: "Deposited", data: { amount: n } }], { correlation: `${n}`, causation: {} })
      .then(() => n),
  );
  await Promise.all([store.dispose(), Promise.allSettled(outcomes)]);
  const acknowledged = (await Promise.allSettled(outcomes)).flatMap((outcome) =>
    outcome.status === "fulfilled" ? [outcome.value] : [],
  );
  const stored = (await fixture.events(store)).map(({ meta }) => Number(meta.correlation));
  expect(stored).toEqual(acknowledged);
  expect(stored).toHaveLength(50);
});

test("a process that gets SIGTERM finishes its handlers, exits with 0, and the next goes on from there", async () => {
  const store = await fixture.seeded({ notify: true });
  const deposit = writer(store);
  const worker = await Worker.start(fixture, store, "first", { hold: true, streamLimit: 2 });
  for (const stream of ["a", "b", "c", "d", "e", "f"]) await deposit(stream, 1, 2);
  await expect.poll(() => worker.entered.length).toBeGreaterThan(0);
  worker.kill("SIGTERM");
  // It says goodbye to the channel first: from then on it waits for its handlers only.
  await expect
    .poll(
      () => fixture.sql`
        select from pg_stat_activity
        where application_name = ${`${store.config.table}-first`} and query ilike 'listen%'`,
      { interval: 10 },
    )
    .toHaveLength(0);
  expect(await leased(store)).toBeGreaterThan(0);
  worker.tell({ go: true });
  expect(await worker.exit()).toEqual([0, null]);
  expect(await leased(store)).toBe(0);
  const done = (await fixture.worked(`${store.config.table}-of-`)).length;
  expect(done).toBeGreaterThanOrEqual(worker.entered.length);

  const next = await Worker.start(fixture, store, "next");
  await deposit("g", 1, 2);
  await expect
    .poll(
      async () => {
        next.tell({ settle: true });
        return fixture.worked(`${store.config.table}-of-`);
      },
      { interval: 50 },
    )
    .toHaveLength(14);
  await expect.poll(() => fixture.unfinished(store)).toEqual([]);
  const work = await fixture.worked(`${store.config.table}-of-`);
  expect(new Set(work.map(({ event }) => event)).size).toBe(14);
});
