/** A store that is disposed of gives back the correlator leases that it has taken. */
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { within } from "../conformance/kit/eventually.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useDatabase();
const MINUTE = 60_000;

const ask = async (store: PostgresStore, key: string, by: string, millis = MINUTE) =>
  (await store.subscribe([], undefined, { key, by, millis })).correlating;

/** The stores of two processes on the same tables. */
async function pair(options: { readonly prepare?: boolean; readonly max?: number } = {}) {
  const store = await fixture.seeded(options);
  return { store, other: fixture.store({ table: store.config.table }) };
}

test.each([{}, { prepare: false }, { max: 1 }])(
  "with %o all that it holds are free at once",
  async (options) => {
    const { store, other } = await pair(options);
    await ask(store, "a", "w1");
    await ask(store, "b", "w2");
    expect(await ask(other, "a", "w3")).toBe(false);

    await store.dispose();
    expect(await ask(other, "a", "w3")).toBe(true);
    expect(await ask(other, "b", "w3")).toBe(true);
  },
);

test("a lease that another process has taken meanwhile stays with it", async () => {
  const { store, other } = await pair();
  await ask(store, "k", "w1");
  const { schema, table } = store.config;
  const correlated = fixture.sql`${fixture.sql(schema)}.${fixture.sql(`${table}_correlated`)}`;
  await fixture.sql`update ${correlated} set leased_until = now() - interval '1 second' where key = 'k'`;
  expect(await ask(other, "k", "w2")).toBe(true);

  await store.dispose();
  expect(await ask(fixture.store({ table }), "k", "w3")).toBe(false);
  expect(await ask(other, "k", "w2")).toBe(true);
});

test("a store that holds none sends nothing at its end", async () => {
  const { store } = await pair();
  await ask(store, "k", "w1");
  await ask(store, "k", "w1", 0);
  await ask(store, "other", "w1", 1);
  await expect.poll(() => ask(fixture.store({ table: store.config.table }), "other", "w2")).toBe(true);
  const { schema, table } = store.config;
  const sql = connect(fixture.url);
  onTestFinished(() => sql.end());
  // Whatever would lock a row waits for this.
  await sql.unsafe(`begin; lock table "${schema}"."${table}_correlated" in access exclusive mode`);
  const start = performance.now();
  await within(10_000, "dispose", store.dispose());
  expect(performance.now() - start).toBeLessThan(1_900);
});

test("a lease that cannot be released holds the end up for two seconds at most", async () => {
  const { store } = await pair();
  await ask(store, "k", "w1");
  const { schema, table } = store.config;
  const sql = connect(fixture.url);
  onTestFinished(() => sql.end());
  await sql.unsafe(`begin; lock table "${schema}"."${table}_correlated" in access exclusive mode`);
  await within(8_000, "dispose", store.dispose());
});
