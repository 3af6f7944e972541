/** Times and numbers behind a pooler, where no session keeps the store's settings: a role's own cut digits off floats. */
import { expect, onTestFinished, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** A second store on the tables of `store`, for a role whose floats have one digit. */
async function withFewDigits(store: PostgresStore): Promise<PostgresStore> {
  const { sql } = fixture;
  const role = fixture.application("digits").slice(-63);
  await sql`create role ${sql(role)} superuser login password 'digits'`;
  onTestFinished(async () => void (await sql`drop role ${sql(role)}`));
  await sql`alter role ${sql(role)} set extra_float_digits = -15`;
  const { table } = store.config;
  return fixture.store({ user: role, password: "digits", prepare: false, max: 4, table });
}

test("times, ages and counts have all their digits, whatever the role's settings", async () => {
  const store = await fixture.seeded();
  for (const stream of ["a", "b"]) await store.commit(stream, [event(), event()], meta);
  const work = ["blocked", "deferred", "leased", "waiting"];
  await store.subscribe(work.map((stream) => ({ stream, source: "a", correlated_at: 2 })));
  await store.subscribe([], 2, { key: "k", by: "me", millis: 60_000 });
  const leases = await store.claim(4, 0, "w", 60_000);
  const refused = leases.filter(({ stream }) => stream === "blocked");
  await store.block(refused.map((lease) => ({ ...lease, error: "refused" })));
  await store.defer(["deferred"], Date.now() + 60_000);
  await fixture.sql.unsafe(`analyze ${store.config.table}, ${store.config.table}_streams`);
  const digits = await withFewDigits(store);
  const [right, few] = [new Admin(store), new Admin(digits)];
  const first = await right.event(1);
  /** The clock goes on, ages grow, and each store has its own role. */
  const still = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value, (name, one) =>
        ["now", "lagMs", "leftMs", "user"].includes(name) ? undefined : one,
      ),
    );
  const read: ((admin: Admin) => Promise<unknown>)[] = [
    (admin) => admin.overview(),
    (admin) => admin.lag(),
    (admin) => admin.blocked(),
    (admin) => admin.leases(),
    (admin) => admin.correlators(),
    (admin) => admin.subscriptions(),
    (admin) => admin.storage(),
    (admin) => (first ? admin.relations(first) : Promise.resolve()),
  ];
  for (const of of read) expect(still(await of(few)), String(of)).toEqual(still(await of(right)));
  const clocks = ["server-end-of-life", "clocks-apart", "future-events"];
  expect((await few.doctor()).filter(({ code }) => clocks.includes(code))).toEqual([]);
  const [lagging] = await few.lag();
  expect(lagging?.lagMs).toBeGreaterThan(0);
  expect((await few.leases())[0]?.leftMs).toBeGreaterThan(1_000);
  expect((await digits.health({ deep: true })).deep?.oldestLagMs).toBeGreaterThan(0);
  const committed = await digits.truncate([{ stream: "b", snapshot: {} }]);
  const [snapshot] = await right.events({ stream: "b", streamExact: true });
  expect(committed.get("b")?.committed.created).toEqual(snapshot?.created);
  const by = { by: "ops", reason: "test" };
  const skip = await few.skip({ stream: "blocked", event: 1, ...by });
  expect(skip.event.created).toEqual(first?.created);
  expect(await right.skipped()).toEqual([skip]);
  expect(Math.abs(Date.now() - skip.skippedAt.getTime())).toBeLessThan(60_000);
});
