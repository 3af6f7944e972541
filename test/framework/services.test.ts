/**
 * Two services on one log: apps with reactions of their own, each in a lane of its own. Act gives each set of reactions a
 * checkpoint of its own, but an app begins at the highest checkpoint of all.
 */
import { act, InMemoryStore, type Store } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { backfill } from "../../src/projections/index.ts";
import { Account, actor, on, settled, stopping, useApps, writer } from "./fixture.ts";

const fixture = useApps();

/** A service with a target for each account, or one for all. `handled`: the accounts whose events it has handled. */
function service(
  store: Store,
  name: "audit" | "mail",
  build: { drain?: false; listen?: false } = {},
  single = false,
) {
  const handled: string[] = [];
  const builder = act()
    .withState(Account)
    .withLane({ name: "audit", leaseMillis: 5_000, streamLimit: 5 })
    .withLane({ name: "mail", leaseMillis: 5_000, streamLimit: 5 });
  const handle = async ({ stream }: { readonly stream: string }) => void handled.push(stream);
  // The name of the handler tells the sets of reactions apart.
  Object.defineProperty(handle, "name", { value: name });
  const app = stopping(
    builder
      .on("Deposited")
      .do(handle)
      .to(
        single
          ? { target: name, lane: name }
          : ({ stream }) => ({ target: `${name}-${stream}`, source: stream, lane: name }),
      )
      .build({ ...on(store), onlyLanes: [name], ...build }),
  );
  return { app, handled };
}

test("an event that nobody announced reaches both services", async () => {
  const options = { notify: true, pollIntervalMillis: 500 };
  const store = await fixture.seeded(options);
  const services = [service(store, "audit"), service(fixture.beside(store, options), "mail")];
  for (const { app } of services) await settled(app);
  await writer(store)("first", 1);
  await expect.poll(() => services.map(({ handled }) => handled)).toEqual([["first"], ["first"]]);
  await writer(fixture.beside(store, { notify: false }))("second", 1);
  await expect
    .poll(() => services.map(({ handled }) => handled), { timeout: 8_000 })
    .toEqual([
      ["first", "second"],
      ["first", "second"],
    ]);
});

/** Handles an event that it has committed itself: nobody announces anything here. */
async function deposited({ app }: ReturnType<typeof service>, stream: string): Promise<void> {
  await app.do("deposit", { stream, actor }, { amount: 1 });
  await settled(app);
}

/** A service that handles an event, is down while another one handles the next, starts again, and handles the last. */
async function restarted(store: Store, beside: () => Store, single = false) {
  const other = service(beside(), "audit");
  const before = service(store, "mail", {}, single);
  for (const { app } of [other, before]) await settled(app);
  await deposited(before, "first");
  expect(before.handled).toEqual(["first"]);
  await before.app.shutdown({ graceMs: 1_000 });
  await deposited(other, "missed");
  expect(other.handled).toContain("missed");
  const after = service(store, "mail", {}, single);
  await settled(after.app);
  expect(after.handled).toEqual([]);
  await deposited(after, "last");
  return after;
}

test("a service that was down passes over what another has read meanwhile, on Act's own store too", async () => {
  const memory = new InMemoryStore();
  expect((await restarted(memory, () => memory)).handled).toEqual(["last"]);
  const store = await fixture.seeded({ notify: false });
  expect((await restarted(store, () => fixture.beside(store))).handled).toEqual(["last"]);
});

test("a target for all accounts gets what its service passed over with its next event, on Act's own store too", async () => {
  const memory = new InMemoryStore();
  expect((await restarted(memory, () => memory, true)).handled).toEqual(["missed", "last"]);
  const store = await fixture.seeded({ notify: false });
  expect((await restarted(store, () => fixture.beside(store), true)).handled).toEqual(["missed", "last"]);
});

test("backfill gives a service what it passed over", async () => {
  const store = await fixture.seeded({ notify: false });
  const mail = await restarted(store, () => fixture.beside(store));
  const { app } = service(store, "mail", { drain: false, listen: false });
  expect(await backfill({ app, store })).toMatchObject({ targets: 3, subscribed: 1 });
  await deposited(mail, "next");
  expect(mail.handled.sort()).toEqual(["last", "missed", "next"]);
});

test("services that share a lane claim each other's targets and pass over their events, on Act's own store too", async () => {
  const build = (store: Store, name: string) => {
    const handled: string[] = [];
    const handle = async ({ stream }: { readonly stream: string }) => void handled.push(stream);
    Object.defineProperty(handle, "name", { value: name });
    const app = stopping(act().withState(Account).on("Deposited").do(handle).to(name).build(on(store)));
    return { app, handled };
  };
  const store = await fixture.seeded({ notify: false });
  for (const one of [new InMemoryStore(), store]) {
    const [first, second] = [build(one, "first"), build(one, "second")];
    for (const { app } of [first, second]) await settled(app);
    await second.app.do("deposit", { stream: "lost", actor }, { amount: 1 });
    await second.app.correlate();
    await deposited(first, "own");
    await settled(second.app);
    expect(first.handled).toEqual(["lost", "own"]);
    expect(second.handled).toEqual([]);
  }
});
