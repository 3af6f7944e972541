/** Several processes with one app each: woken by notifications, sharing the work, surviving each other. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { throughout } from "../conformance/kit/eventually.ts";
import { type AppFixture, useApps, writer } from "./fixture.ts";
import { Worker } from "./workers.ts";

const fixture = useApps();

const start = (
  store: PostgresStore,
  names: readonly string[],
  options?: Parameters<typeof Worker.start>[3],
) => Promise.all(names.map((name) => Worker.start(fixture, store, name, options)));

/** How often each event was handled, by SQL: events, deliveries, the most for one event, and processes. */
async function deliveries({ sql }: AppFixture, { config }: PostgresStore) {
  const [row] = await sql`
    select count(distinct e.id)::int as events, count(w.event)::int as deliveries,
      (select max(n)::int from (
        select count(*) as n from work where starts_with(target, ${`${config.table}-`}) group by target, event) g
      ) as most,
      count(distinct w.by)::int as processes
    from ${sql(config.schema)}.${sql(config.table)} e
    left join work w on w.event = e.id and w.target = ${`${config.table}-of-`} || e.stream`;
  return row;
}

test("four processes that commit and react handle each event exactly once", { timeout: 90_000 }, async () => {
  const store = await fixture.seeded({ notify: true });
  const names = ["p1", "p2", "p3", "p4"];
  const workers = await start(store, names);
  const streams = Array.from({ length: 24 }, (_, n) => `s${n}`);
  // All four deposit to all streams at once; none is told to settle, so each wakes for the others' commits.
  for (const worker of workers)
    for (let round = 0; round < 2; round++) worker.tell({ deposit: streams, amount: 1 });
  await expect
    .poll(() => workers.map(({ deposited }) => deposited), { timeout: 60_000 })
    .toEqual(names.map(() => 48));
  await expect.poll(() => fixture.unfinished(store), { timeout: 60_000 }).toEqual([]);
  await expect
    .poll(() => deliveries(fixture, store))
    .toMatchObject({ events: 192, deliveries: 192, most: 1 });
  expect((await deliveries(fixture, store))?.processes).toBeGreaterThan(1);
  const work = await fixture.worked(`${store.config.table}-of-`);
  for (const stream of streams) {
    const ids = (await fixture.events(store, stream)).map(({ id }) => id);
    const own = work.filter(({ target }) => target.endsWith(`-${stream}`));
    expect(own.map(({ event }) => event)).toEqual(ids);
  }
});

test("what wakes a process is the notification: a commit without one waits for the next", async () => {
  const store = await fixture.seeded({ notify: true });
  const [worker] = await start(store, ["idle"]);
  const silent = fixture.beside(store, { notify: false });
  await writer(silent)("quiet", 1);
  // Nobody polls: a second is a hundred times what a notified commit takes below.
  await throughout(1_000, async () => (await fixture.subscriptions(store)).length === 0);
  expect(worker?.entered).toEqual([]);
  await writer(store)("loud", 1);
  await expect
    .poll(() => deliveries(fixture, store), { interval: 5 })
    .toMatchObject({
      events: 2,
      deliveries: 2,
      most: 1,
    });
});

test("the work of a process that was killed is taken over when its leases have run out", async () => {
  const store = await fixture.seeded({ notify: true });
  const [victim] = await start(store, ["victim"], { hold: true, leaseMillis: 1_500 });
  const deposit = writer(store);
  for (const stream of ["a", "b"]) await deposit(stream, 1, 2);
  await expect.poll(() => victim?.entered.length).toBeGreaterThan(0);
  victim?.kill("SIGKILL");
  expect(await victim?.exit()).toEqual([null, "SIGKILL"]);
  const held = (await fixture.subscriptions(store)).filter(({ leased_by }) => leased_by !== null);
  expect(held.length).toBeGreaterThan(0);

  await start(store, ["heir"], { leaseMillis: 1_500 });
  const doneOf = async (stream: string) =>
    (await fixture.worked(`${store.config.table}-of-`))
      .filter(({ target }) => target.endsWith(`-${stream}`))
      .map(({ event, by }) => ({ event, by }));
  const dueOf = async (stream: string) =>
    (await fixture.events(store, stream)).map(({ id }) => ({ event: id, by: "heir" }));
  // Nobody is told that a lease ran out: the next commit brings everybody to look.
  await expect
    .poll(
      async () => {
        await deposit("c", 1);
        return [await fixture.unfinished(store), await doneOf("a"), await doneOf("b")];
      },
      { interval: 100 },
    )
    .toEqual([[], await dueOf("a"), await dueOf("b")]);
});
