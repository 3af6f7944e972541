/** backfill(): reactions and projections that are added to an app with history process that history. */
import { act, projection } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { type BackfillProgress, backfill } from "../../src/projections/index.ts";
import { Account, actor, Deposited, on, settled, stopping, useApps, writer } from "../framework/fixture.ts";

const fixture = useApps();
const ACCOUNTS = 40;

/** An app that has run for a while: its checkpoint is at the end of the log, and three accounts have moved since. */
async function history(): Promise<PostgresStore> {
  const store = await fixture.seeded({ notify: true });
  const deposit = writer(store);
  for (let n = 0; n < ACCOUNTS; n++) await deposit(`a${n}`, 1, 2);
  const old = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(async function before() {})
      .to("before")
      .build(on(store)),
  );
  await settled(old);
  return store;
}

/** The next release: a static projection, one target per account, and a reaction on a lane. */
function release(store: PostgresStore, seen: string[]) {
  const note = async (event: { id: number }, target: string) => void seen.push(`${target} ${event.id}`);
  const all = projection("all")
    .on({ Deposited })
    .do(async function total(event, target) {
      await note(event, target);
    })
    .build();
  const each = projection()
    .on({ Deposited })
    .do(async function balance(event, target) {
      await note(event, target);
    })
    .to(({ stream }) => ({ target: `of-${stream}`, source: stream }))
    .build();
  return stopping(
    act()
      .withState(Account)
      .withLane({ name: "mail" })
      .withProjection(all)
      .withProjection(each)
      .on("Deposited")
      .do(async function before() {})
      .to("before")
      .on("Deposited")
      .do(async function mail(event, target) {
        await note(event, target);
      })
      .to(({ data }) => (data.amount === 2 ? { target: "mails", lane: "mail", priority: 3 } : undefined))
      .build(on(store)),
  );
}

const rows = async (store: PostgresStore) =>
  (await fixture.subscriptions(store)).filter(({ stream }) => stream !== "before");

test("every target of the history is subscribed and processed, static and dynamic ones", async () => {
  const store = await history();
  const seen: string[] = [];
  const app = release(store, seen);
  const result = await backfill({ app, store });
  expect(result).toEqual({ events: 2 * ACCOUNTS, targets: ACCOUNTS + 3, subscribed: ACCOUNTS + 2 });
  await settled(app, { eventLimit: 100, streamLimit: 100 });
  expect(await fixture.unfinished(store)).toEqual([]);
  const events = await fixture.events(store);
  const expected = events.flatMap(({ id, stream, data }) => [
    `all ${id}`,
    `of-${stream} ${id}`,
    ...(data.amount === 2 ? [`mails ${id}`] : []),
  ]);
  expect(seen.toSorted()).toEqual(expected.toSorted());
  expect(await fixture.subscription(store, "mails")).toMatchObject({ lane: "mail", priority: 3 });
  expect(await fixture.subscription(store, "of-a7")).toMatchObject({ source: "a7", mark: 16 });
});

test("without it, only accounts that move get a target, and a static target waits", async () => {
  const store = await history();
  const seen: string[] = [];
  const app = release(store, seen);
  await settled(app, { eventLimit: 100, streamLimit: 100 });
  expect(await rows(store)).toMatchObject([{ stream: "all", mark: null }]);
  await app.do("deposit", { stream: "a5", actor }, { amount: 7 });
  await settled(app);
  expect((await rows(store)).map(({ stream }) => stream)).toEqual(["all", "of-a5"]);
});

test("a second run changes nothing, and delivers nothing again", async () => {
  const store = await history();
  const seen: string[] = [];
  const app = release(store, seen);
  await backfill({ app, store });
  await settled(app, { eventLimit: 100, streamLimit: 100 });
  const before = { rows: await rows(store), seen: seen.length };
  expect(await backfill({ app, store })).toMatchObject({ targets: ACCOUNTS + 3, subscribed: 0 });
  await settled(app, { eventLimit: 100, streamLimit: 100 });
  expect({ rows: await rows(store), seen: seen.length }).toEqual(before);
});

test("a worker that runs and is at rest is woken", async () => {
  const store = await history();
  const seen: string[] = [];
  const app = release(store, seen);
  await settled(app);
  await backfill({ app, store: fixture.beside(store) });
  await expect.poll(() => fixture.unfinished(store)).toEqual([]);
  expect(seen.filter((each) => each.startsWith("all "))).toHaveLength(2 * ACCOUNTS);
});

test("beside workers that process and writers that append, each event is processed once", async () => {
  const store = await history();
  const seen: string[] = [];
  const app = release(store, seen);
  const deposit = writer(store);
  const writing = Promise.all(Array.from({ length: 10 }, (_, n) => deposit(`a${n}`, 2, 3, 4)));
  const settling = settled(app, { eventLimit: 3 });
  await Promise.all([
    backfill({ app, store }),
    backfill({ app: release(store, seen), store: fixture.beside(store) }),
    writing,
    settling,
  ]);
  await expect
    .poll(async () => {
      await settled(app, { eventLimit: 100, streamLimit: 100 });
      return fixture.unfinished(store);
    })
    .toEqual([]);
  const events = await fixture.events(store);
  expect(seen.filter((each) => each.startsWith("of-"))).toHaveLength(events.length);
  expect(new Set(seen).size).toBe(seen.length);
});

test("it tells how far it is, and stops where it is asked to", async () => {
  const store = await fixture.seeded();
  const deposits = Array.from({ length: 2_500 }, () => ({ name: "Deposited", data: { amount: 2 } }));
  await store.commit("a0", deposits, { correlation: "test", causation: {} });
  const app = release(store, []);
  const progress: BackfillProgress[] = [];
  const stop = new AbortController();
  const stopped = backfill({
    app,
    store,
    signal: stop.signal,
    onProgress: (each) => {
      progress.push(each);
      stop.abort(new Error("enough"));
    },
  });
  await expect(stopped).rejects.toThrow("enough");
  expect(progress).toEqual([{ at: 1_000, head: 2_500, events: 1_000, targets: 4 }]);
  await backfill({ app, store, onProgress: (each) => progress.push(each) });
  expect(progress.slice(1).map(({ at }) => at)).toEqual([1_000, 2_000, 2_500]);
  expect(await fixture.subscription(store, "of-a0")).toMatchObject({ mark: 2_500 });
});

test("it tells the end of an empty log, too", async () => {
  const store = await fixture.seeded();
  const progress: BackfillProgress[] = [];
  await backfill({ app: release(store, []), store, onProgress: (each) => progress.push(each) });
  expect(progress).toEqual([{ at: -1, head: -1, events: 0, targets: 0 }]);
});

test("an app or a store that is none is refused", async () => {
  const store = await fixture.seeded();
  const refused = (options: unknown) => Reflect.apply(backfill, undefined, [options]);
  await expect(refused({ store })).rejects.toThrow(/app must be what act\(\)…build\(\) returns/);
  await expect(refused({ app: release(store, []) })).rejects.toThrow(/store must be the PostgresStore/);
});

test("a target with several static sources is marked up to the last event of them all", async () => {
  const store = await fixture.seeded();
  const deposit = writer(store);
  await deposit("first", 1);
  await deposit("second", 1);
  await deposit("first", 1);
  const app = stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(async function one() {})
      .to({ target: "both", source: "first" })
      .on("Deposited")
      .do(async function other() {})
      .to({ target: "both", source: "second" })
      .build(on(store)),
  );
  await backfill({ app, store });
  expect(await fixture.subscription(store, "both")).toMatchObject({ mark: 3 });
});
