/** The admin library with more subscriptions, or events, than one statement looks at. */
import { expect, test, vi } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { contextOf } from "../../src/context.ts";
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
  const page = await new Admin(store).subscriptions({ state: "leased" });
  expect(page).toMatchObject({ count: { count: 10, exact: false }, searched: 10_000, next: undefined });
  expect(page.subscriptions.map(({ stream }) => stream)).toEqual(held.map(({ stream }) => stream).sort());
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
  const admin = new Admin(store);
  for (const [state, count] of [
    ["behind", 1_000],
    ["leased", 5],
    ["deferred", 100],
  ] as const)
    expect(await admin.subscriptions({ state })).toMatchObject({
      ...{ count: { count, exact: true }, searched: undefined },
    });
  const { subscriptions } = await admin.overview();
  expect(subscriptions).toMatchObject({
    behind: { count: 1_000, exact: true },
    leased: { count: 5, exact: true },
    deferred: { count: 100, exact: true },
  });
});

test("a count of those behind is not exact if deferred ones and others together are more than the limit", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`insert into ${store.config.table}_streams (stream, at, correlated_at, deferred_at)
select 'sub-' || n, n, n + 5, case n % 2 when 0 then now() + interval '1 hour' end from generate_series(0, 11999) n`);
  const { subscriptions } = await new Admin(store).overview();
  expect(subscriptions).toMatchObject({
    behind: { count: 10_000, exact: false },
    deferred: { count: 6_000, exact: true },
  });
});

test("lag, blocked work and health end in time, however many patterns find nothing", async () => {
  const store = await fixture.seeded();
  const { table } = store.config;
  await fixture.sql.unsafe(`insert into ${table} (stream, version, name, data, meta)
select 'order-' || n, 0, 'Placed', '{}', '{"correlation":"c","causation":{}}' from generate_series(1, 100000) n`);
  // Forty find nothing, and cost some 100 ms each. The one after them finds much.
  await fixture.sql.unsafe(`insert into ${table}_streams (stream, source, at, correlated_at)
select 'p' || n, case n when 40 then 'order-.*[0-9]' else 'invoice-.*' || n || '$' end, 0, 100000 from generate_series(0, 40) n`);
  const admin = new Admin(store);
  const inTime = async <T>(run: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const answer = await run();
    expect(performance.now() - start, String(run)).toBeLessThan(3_500);
    return answer;
  };
  const some = { next: { stream: "order-1" }, events: { count: 1_000, exact: false } };
  const found = <R extends { readonly stream: string }>(rows: readonly R[]) =>
    Map.groupBy(rows, ({ stream }) => (stream === "p40" ? "some" : "nothing"));
  const lagging = found(await inTime(() => admin.lag()));
  expect(lagging.get("some")).toMatchObject([some]);
  expect(new Set(lagging.get("nothing")?.map(({ next }) => next))).toEqual(new Set([undefined]));
  const { ok, deep } = await inTime(() => store.health({ deep: true }));
  expect(ok).toBe(true);
  expect(deep?.oldestLagMs).toBeGreaterThan(0);
  await inTime(() => admin.subscriptions());
  await fixture.sql.unsafe(`update ${table}_streams set blocked = true`);
  expect(found(await inTime(() => admin.blocked())).get("some")).toMatchObject([{ event: some.next }]);
});

test("patterns with the same ids are searched once", async () => {
  const store = await fixture.seeded();
  const { table } = store.config;
  await store.commit("order-1", [{ name: "A", data: {} }], { correlation: "c", causation: {} });
  await fixture.sql.unsafe(`insert into ${table}_streams (stream, source, at, correlated_at)
select 'p' || n, 'order-.*' || n % 2, 0, 50000 from generate_series(0, 39) n`);
  const { connections } = contextOf(store);
  const read = vi.spyOn(connections, "read");
  const lagging = await new Admin(store).lag();
  expect(lagging.map(({ stream, next }) => [stream, next?.id]).sort()).toEqual(
    Array.from({ length: 40 }, (_, n) => [`p${n}`, n % 2 === 1 ? 1 : undefined]).sort(),
  );
  expect(lagging.every(({ events }) => events.exact)).toBe(true);
  // Two patterns, and four parts of 50,000 ids for each.
  const parts = read.mock.calls.flatMap(([, { text }]) => text.match(/as position/g) ?? []);
  expect(parts).toHaveLength(8);
  read.mockRestore();
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
