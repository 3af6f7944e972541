/** Subscriptions by their state, alone and among names. */
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

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
