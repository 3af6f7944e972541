/** The triggers that note rows without the append lock, by hand: they see what they are for, and nothing else. */
import type { Committed, Schemas } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { holdFence, insertRaw, openTransaction, takeFence } from "../../order/fence.ts";
import type { TableName } from "../../order/lock.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { connect } from "../../support/database.ts";
import { noteRowsWithoutLock } from "./notes.ts";

const fixture = useDatabase();

type Event = Committed<Schemas, keyof Schemas>;

async function noted() {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  const name: TableName = { url: fixture.url, schema, table };
  const { rowsWithoutLock } = await noteRowsWithoutLock(fixture.sql, name);
  return { store, name, rowsWithoutLock };
}

const appended = async (store: PostgresStore) =>
  (await store.commit("s", [event("__snapshot__")], meta)).map(({ id }) => id);

test("an insert without the lock is noted, one under the lock is not", async () => {
  const { name, rowsWithoutLock } = await noted();
  const id = await insertRaw(fixture.sql, name, "bare", 0);
  const held = await holdFence(name);
  await insertRaw(held.sql, name, "locked", 0);
  await held.commit();
  expect(await rowsWithoutLock()).toEqual([`INSERT ${id}: bare@0`]);
});

test("updates and deletes without the lock are noted row by row, those under the lock are not", async () => {
  const { name, rowsWithoutLock } = await noted();
  const held = await holdFence(name);
  const ids = [0, 1, 2].map((version) => insertRaw(held.sql, name, "s", version));
  const [first, second, third] = await Promise.all(ids);
  await held.sql`update ${held.sql(name.table)} set name = 'Locked'`;
  await held.sql`delete from ${held.sql(name.table)} where version = 2`;
  await held.commit();
  expect(await rowsWithoutLock()).toEqual([]);
  expect(third).toBeGreaterThan(second ?? 0);

  await fixture.sql`update ${fixture.sql(name.table)} set name = 'Bare' where version = 1`;
  await fixture.sql`delete from ${fixture.sql(name.table)}`;
  expect(await rowsWithoutLock()).toEqual([
    `DELETE ${first}: s@0`,
    `DELETE ${second}: s@1`,
    `UPDATE ${second}: s@1`,
  ]);
});

test("the lock of another session, or of another table, is not the lock", async () => {
  const { name, rowsWithoutLock } = await noted();
  const held = await holdFence(name);
  onTestFinished(held.rollback);
  const other = await openTransaction(fixture.url);
  await takeFence(other, { ...name, table: "another" });
  const id = await insertRaw(other.sql, name, "other", 0);
  await other.commit();
  expect(await rowsWithoutLock()).toEqual([`INSERT ${id}: other@0`]);
});

test("what was rolled back is not noted", async () => {
  const { name, rowsWithoutLock } = await noted();
  const open = await openTransaction(fixture.url);
  await insertRaw(open.sql, name, "undone", 0);
  await open.rollback();
  expect(await rowsWithoutLock()).toEqual([]);
});

test("commits, truncates and restores of an undisturbed store are under the lock", async () => {
  const { store, rowsWithoutLock } = await noted();
  await appended(store);
  await Promise.all([appended(store), appended(store)]);
  await store.truncate([{ stream: "s", before: new Date(Date.now() + 60_000) }]);
  await store.truncate([{ stream: "s", snapshot: {} }]);
  const events: Event[] = [];
  await store.query<Schemas>((event) => void events.push(event));
  await store.restore(async (insert) => {
    for (const event of events) await insert(event);
  });
  expect(await rowsWithoutLock()).toEqual([]);
});

test("a key of 32 bits with either sign is found", async () => {
  const sql = connect(fixture.url);
  onTestFinished(() => sql.end());
  const signs = new Set<number>();
  for (let k = 0; signs.size < 2; k++) {
    const table = `signed${k}`;
    const [row] = await sql`select sign(hashtext(${`"${fixture.database.schema}"."${table}"`}))::int as sign`;
    if (signs.has(row?.sign)) continue;
    signs.add(row?.sign);
    const store = await fixture.seeded({ table });
    const { rowsWithoutLock } = await noteRowsWithoutLock(sql, store.config);
    await appended(store);
    expect(await rowsWithoutLock()).toEqual([]);
  }
});
