/** Subscriptions by their state, alone and among names. */
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test.each([
  ["all", ["behind", "blocked", "caught-up", "deferred", "leased", "skipped"]],
  ["behind", ["behind", "deferred", "leased"]],
  ["blocked", ["blocked"]],
  ["leased", ["leased"]],
  ["deferred", ["deferred"]],
  ["skipped", ["skipped"]],
] as const)("%s", async (state, expected) => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`insert into ${store.config.table}_streams
    (stream, at, correlated_at, blocked, deferred_at, leased_by, leased_until, skipped) values
    ('behind', 1, 5, false, null, null, null, null),
    ('blocked', 1, 5, true, null, null, null, null),
    ('caught-up', 5, 5, false, null, null, null, null),
    ('deferred', 1, 5, false, now() + interval '1 hour', null, null, null),
    ('leased', 1, 5, false, null, 'w', now() + interval '1 hour', null),
    ('skipped', 5, 5, false, null, null, null, '[]')`);
  const admin = new Admin(store);
  const namesOf = async (streams?: readonly string[]) =>
    (await admin.subscriptions({ state, streams })).subscriptions.map(({ stream }) => stream);
  expect(await namesOf()).toEqual(expected);
  expect(await namesOf([...expected, "absent"])).toEqual(expected);
  const others = ["behind", "blocked", "caught-up", "deferred", "leased", "skipped"].filter(
    (one) => !expected.some((name) => name === one),
  );
  expect(await namesOf(others)).toEqual([]);
});

test("a subscription that has handled an event in the claim in which it was blocked was tried once, and not never", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [event(), event()], meta);
  await store.subscribe([{ stream: "reaction", source: "s", correlated_at: 2 }], 2);
  const [lease] = await store.claim(1, 0, "w", 60_000);
  if (!lease) throw new Error("nothing to claim");
  // As the framework does: it blocks first, and then acks what came before.
  await store.block([{ ...lease, error: "no" }]);
  await store.ack([{ ...lease, at: 1 }]);
  const admin = new Admin(store);
  expect(await admin.blocked()).toMatchObject([{ at: 1, attempts: 1, event: { id: 2 } }]);
  expect((await admin.subscriptions({ state: "blocked" })).subscriptions).toMatchObject([{ attempts: 1 }]);
  expect(await admin.skip({ stream: "reaction", event: 2, by: "ada", reason: "test" })).toMatchObject({
    attempts: 1,
  });
});
