/** The admin library with more subscriptions, or events, than one statement looks at. */
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("leases are found among many pending subscriptions: by priority, by age, furthest, of a lane, and due", async () => {
  const store = await fixture.seeded();
  // The lane and the due ones stand in the middle of every order.
  await fixture.sql.unsafe(`insert into ${store.config.table}_streams (stream, at, correlated_at, lane, priority, deferred_at)
select 'sub-' || n, n, n + 5, case n % 9000 when 8000 then 'slow' else 'default' end, case when n in (9000, 10000) then 7 else 1 end,
  case n when 9500 then now() - interval '1 minute' end from generate_series(0, 24999) n`);
  await store.claim(8, 1, "first", 60_000, "default");
  await store.claim(1, 0, "slow", 60_000, "slow");
  const held = await new Admin(store).leases({ limit: 1_000 });
  expect(held.filter(({ holder }) => holder === "slow").map(({ stream }) => stream)).toEqual(["sub-8000"]);
  const first = held.filter(({ holder }) => holder === "first").map(({ stream }) => stream);
  expect(first.sort()).toEqual(
    ["sub-9000", "sub-10000", "sub-0", "sub-1", "sub-2", "sub-3", "sub-4", "sub-5", "sub-24999"].sort(),
  );
  const { subscriptions } = await new Admin(store).overview();
  expect(subscriptions).toMatchObject({
    behind: { count: 10_000, exact: false },
    leased: { count: 10, exact: false },
    deferred: { count: 0, exact: true },
  });
});

test("leases and counts are exact if all that are pending are looked at", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`insert into ${store.config.table}_streams (stream, at, correlated_at, deferred_at)
select 'sub-' || n, n, n + 5, case n % 10 when 0 then now() + interval '1 hour' end from generate_series(0, 999) n`);
  await store.claim(5, 0, "w", 60_000);
  const { subscriptions } = await new Admin(store).overview();
  expect(subscriptions).toMatchObject({
    behind: { count: 1_000, exact: true },
    leased: { count: 5, exact: true },
    deferred: { count: 100, exact: true },
  });
});

test("finished subscriptions are reaped on every page, past those that stay and those that a worker has locked", async () => {
  const store = await fixture.seeded();
  const { table } = store.config;
  const meta = { correlation: "c", causation: {} };
  for (const stream of ["closed", "open"]) await store.commit(stream, [{ name: "A", data: {} }], meta);
  await store.commit("closed", [{ name: "__tombstone__", data: {} }], meta, 0);
  await fixture.sql.unsafe(`insert into ${table}_streams (stream, source, at)
select 'sub-' || lpad(n::text, 5, '0'), case when n < 2500 or n % 5000 = 0 then 'closed' else 'open' end, 9 from generate_series(0, 20000) n`);
  const admin = new Admin(store);
  expect((await admin.reap({ olderThanMs: 0, dryRun: true })).subscriptions).toBe(2_504);
  const locked = await fixture.sql.reserve();
  await locked.unsafe(`begin; select from ${table}_streams where stream = 'sub-00700' for update`);
  expect((await admin.reap({ olderThanMs: 0 })).subscriptions).toBe(2_503);
  await locked.unsafe("rollback");
  locked.release();
  expect((await admin.reap({ olderThanMs: 0 })).subscriptions).toBe(1);
});

test.for([
  {},
  { names: ["A"] },
  { names: ["A", "B"] },
  { stream: "^s" },
  { stream: "s", streamExact: true, names: ["A"] },
])("a page of events may have thousands: %j", async (filter) => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`insert into ${store.config.table} (stream, version, name, data, meta)
select 's', n, 'A', '{}', '{}' from generate_series(0, 2499) n`);
  expect(await new Admin(store).events({ ...filter, limit: 2_400 })).toHaveLength(2_400);
});
