/** Reactions to fixed and to computed targets, and the actions that they take in turn. */
import { act, state } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { z } from "zod";
import { Account, actor, on, settled, stopping, useApps, writer } from "./fixture.ts";

const fixture = useApps();

test("a static target without a source follows every stream, each event once and in order", async () => {
  const store = await fixture.seeded();
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(async function follow(event, target) {
        await fixture.note(target, event);
      })
      .to("static-all")
      .build(on(store)),
  );
  const deposit = writer(store);
  for (const stream of ["a", "b", "c"]) await deposit(stream, 1, 2, 3, 4, 5);
  await settled(app);
  const ids = (await fixture.events(store)).map(({ id }) => id);
  expect((await fixture.worked("static-all")).map(({ event }) => event)).toEqual(ids);
  expect(await fixture.subscription(store, "static-all")).toMatchObject({
    source: null,
    at: ids.at(-1),
    mark: ids.at(-1),
    retry: -1,
    leased_by: null,
  });
});

test("computed targets make one subscription per stream, and none where there is no target", async () => {
  const store = await fixture.seeded();
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(async function copy(event, target) {
        await fixture.note(target, event);
      })
      .to(({ stream }) => (stream === "quiet" ? undefined : { target: `copy-${stream}`, source: stream }))
      .build(on(store)),
  );
  const deposit = writer(store);
  for (const stream of ["x", "y", "quiet"]) await deposit(stream, 1, 2);
  await settled(app);
  const rows = await fixture.subscriptions(store);
  expect(rows.map(({ stream, source }) => [stream, source])).toEqual([
    ["copy-x", "x"],
    ["copy-y", "y"],
  ]);
  for (const stream of ["x", "y"]) {
    const ids = (await fixture.events(store, stream)).map(({ id }) => id);
    expect((await fixture.worked(`copy-${stream}`)).map(({ event }) => event)).toEqual(ids);
  }
  expect(await fixture.unfinished(store)).toEqual([]);
});

test("a source that is a pattern selects its streams", async () => {
  const store = await fixture.seeded();
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(async function some(event, target) {
        await fixture.note(target, event);
      })
      .to({ target: "by-pattern", source: "^eur-.*-(open|new)$" })
      .build(on(store)),
  );
  const deposit = writer(store);
  for (const stream of ["eur-1-open", "usd-1-open", "eur-2-closed", "eur-3-new"]) await deposit(stream, 1);
  await settled(app);
  const wanted = await fixture.sql<{ id: number }[]>`
    select id::int from ${fixture.table(store)} where stream in ('eur-1-open', 'eur-3-new') order by id`;
  expect((await fixture.worked("by-pattern")).map(({ event }) => event)).toEqual(wanted.map(({ id }) => id));
});

const Ledger = state({ Ledger: z.object({ total: z.number(), entries: z.number() }) })
  .init(() => ({ total: 0, entries: 0 }))
  .emits({ Booked: z.object({ amount: z.number(), from: z.string() }) })
  .patch({ Booked: ({ data }, { total, entries }) => ({ total: total + data.amount, entries: entries + 1 }) })
  .on({ book: z.object({ amount: z.number(), from: z.string() }) })
  .emit("Booked")
  .build();

test("what a reaction commits carries the cause and the correlation of its event", async () => {
  const store = await fixture.seeded();
  const app = stopping(
    act()
      .withState(Account)
      .withState(Ledger)
      .on("Deposited")
      .do(async function book({ stream, data }, _target, within) {
        await within.do("book", { stream: "ledger", actor }, { amount: data.amount, from: stream });
      })
      .to(({ stream }) => ({ target: `book-${stream}`, source: stream }))
      .build(on(store)),
  );
  for (const [stream, amount] of [["a", 5] as const, ["b", 7] as const, ["a", 11] as const])
    await app.do("deposit", { stream, actor }, { amount });
  // Two targets book to one stream: whoever loses the race for a version tries again after its lease.
  await expect
    .poll(async () => {
      await settled(app, { leaseMillis: 50 });
      return fixture.unfinished(store);
    })
    .toEqual([]);
  const causes = await fixture.events(store);
  const booked = causes.filter(({ name }) => name === "Booked");
  expect(booked.map(({ version }) => version)).toEqual([0, 1, 2]);
  for (const { meta, data } of booked) {
    const cause = causes.find(({ id }) => id === meta.causation.event?.id);
    expect(cause).toMatchObject({ name: "Deposited", stream: data.from, data: { amount: data.amount } });
    expect(meta.correlation).toBe(cause?.meta.correlation);
  }
  const [{ total } = {}] = await fixture.sql`
    select sum((data ->> 'amount')::int)::int as total from ${fixture.table(store)} where stream = 'ledger'`;
  expect(total).toBe(23);
  expect((await app.load(Ledger, "ledger")).state).toEqual({ total: 23, entries: 3 });
});

test("a release that gives a target more weight raises it, one that gives less leaves it", async () => {
  const store = await fixture.seeded();
  const release = (priority: number) =>
    stopping(
      act()
        .withState(Account)
        .on("Deposited")
        .do(async function weigh(event, target) {
          await fixture.note(target, event);
        })
        .to(({ stream }) => ({ target: `weigh-${stream}`, source: stream, priority }))
        .build(on(fixture.beside(store))),
    );
  const deposit = writer(store);
  const stored: number[] = [];
  for (const priority of [1, 9, 4]) {
    await deposit("s", priority);
    const app = release(priority);
    await settled(app);
    await app.shutdown();
    stored.push((await fixture.subscription(store, "weigh-s")).priority);
  }
  expect(stored).toEqual([1, 9, 9]);
  expect(await fixture.worked("weigh-s")).toHaveLength(3);
});
