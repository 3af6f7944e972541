/** Several apps with reactions of their own on one log: the look-out of each goes by its own correlator's checkpoint. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

const LEASE = { key: "mine", by: "me", millis: 5_000 };
const OTHER = { key: "other", by: "another", millis: 5_000 };

const listener = () => fixture.seeded({ notify: true, pollIntervalMillis: 50 });

/** Another process' store, which announces nothing. */
const silent = ({ config }: PostgresStore) => fixture.store({ table: config.table, notify: false });

async function listen(store: PostgresStore) {
  const reported = new Set<number>();
  await store.notify?.(({ events }) => {
    for (const { id } of events) reported.add(id);
  });
  return reported;
}

const become = (reported: Set<number>, ids: number[]) =>
  expect.poll(() => [...reported], { timeout: 5_000 }).toEqual(ids);

const correlated = ({ config }: PostgresStore) =>
  fixture.sql`${fixture.sql(config.schema)}.${fixture.sql(`${config.table}_correlated`)}`;

test("an event that another app has read is reported to one that has not", async () => {
  const store = await listener();
  await store.subscribe([], undefined, LEASE);
  const reported = await listen(store);
  const [committed] = await silent(store).commit("s", [event("A")], meta);
  await silent(store).subscribe([], committed?.id, OTHER);
  await become(reported, [committed?.id ?? 0]);
});

test("a correlator whose row was deleted counts from the shared checkpoint", async () => {
  const store = await listener();
  await store.subscribe([], undefined, LEASE);
  const [first] = await silent(store).commit("s", [event("A")], meta);
  await silent(store).subscribe([], first?.id, OTHER);
  await fixture.sql`delete from ${correlated(store)} where key = ${LEASE.key}`;
  const reported = await listen(store);
  const [second] = await silent(store).commit("s", [event("A")], meta);
  await become(reported, [second?.id ?? 0]);
});

test("a log that was restored below the checkpoint at which the app began is looked at", async () => {
  const store = await listener();
  await store.subscribe([], 50);
  await fixture.sql`delete from ${correlated(store)}`;
  const reported = await listen(store);
  const [committed] = await silent(store).commit("s", [event("A")], meta);
  await become(reported, [committed?.id ?? 0]);
});

test("what is before the checkpoint at which the app began is not reported: the app never reads it", async () => {
  const store = await listener();
  await silent(store).subscribe([], undefined, LEASE);
  const [passed] = await silent(store).commit("s", [event("A")], meta);
  await silent(store).subscribe([], passed?.id, OTHER);
  await store.subscribe([]);
  await store.subscribe([], undefined, { ...LEASE, by: "restarted" });
  const reported = await listen(store);
  const [next] = await silent(store).commit("s", [event("A")], meta);
  await become(reported, [next?.id ?? 0]);
});

test("an app that begins after a restore of the same store is told of all its events", async () => {
  const store = await listener();
  const other = silent(store);
  for (let n = 0; n < 3; n++) await other.commit("s", [event("A")], meta);
  await other.subscribe([], 3, OTHER);
  expect(await store.subscribe([])).toMatchObject({ correlated_at: 3 });
  await store.restore?.(async (callback) => {
    for (let id = 0; id < 3; id++)
      await callback({ id, stream: "n", version: id, created: new Date(), name: "A", data: {}, meta });
  });
  expect(await store.subscribe([])).toMatchObject({ correlated_at: -1 });
  const reported = await listen(store);
  await expect.poll(() => reported).toContain(1);
});
