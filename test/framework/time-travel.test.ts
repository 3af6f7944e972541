/** Time travel: states as they were, checked against sums that SQL makes. */
import { act } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { Account, on, stopping, useApps, writer } from "./fixture.ts";

const fixture = useApps();

/** A year of monthly deposits to `a`, each followed by one to another stream. */
async function year(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (let month = 1; month <= 12; month++) {
    await deposit("a", month);
    await deposit("b", 1_000 * month);
  }
  await fixture.sql`
    update ${fixture.table(store)} set created = timestamptz '2024-01-15T12:00:00Z' + version * interval '1 month'`;
  return store;
}

async function balance(store: PostgresStore, where: string): Promise<number> {
  const { schema, table } = store.config;
  const [row] = await fixture.sql.unsafe(
    `select coalesce(sum((data ->> 'amount')::int), 0)::int as sum from "${schema}"."${table}"
     where stream = 'a' and ${where}`,
  );
  return Number(row?.sum);
}

test("a state before any event is the sum of what lies below it", async () => {
  const store = await year();
  const app = stopping(act().withState(Account).build(on(store)));
  for (const { id } of await fixture.events(store)) {
    const { state } = await app.load(Account, "a", undefined, { before: id });
    expect(state.balance).toBe(await balance(store, `id < ${id}`));
  }
});

test("a state at any time is the sum of what was created until then", async () => {
  const store = await year();
  const app = stopping(act().withState(Account).build(on(store)));
  for (const time of [
    "2023-12-31",
    "2024-01-15T12:00:00Z",
    "2024-01-15T12:00:00.001Z",
    "2024-06-30",
    "2025-01-01",
  ]) {
    const { state } = await app.load(Account, { stream: "a", asOf: { created_before: new Date(time) } });
    expect(state.balance).toBe(await balance(store, `created < '${time}'`));
  }
  expect((await app.load(Account, "a")).state.balance).toBe(78);
});

test("a walk through the past sees every state on the way", async () => {
  const store = await year();
  const app = stopping(act().withState(Account).build(on(store)));
  const seen: number[] = [];
  await app.load(Account, "a", ({ state }) => seen.push(state.balance), { limit: 5 });
  const sums = await fixture.sql<{ sum: number }[]>`
    select sum((data ->> 'amount')::int) over (order by id)::int as sum from ${fixture.table(store)}
    where stream = 'a' order by id limit 5`;
  expect(seen).toEqual(sums.map(({ sum }) => sum));
});

test("a look at the past leaves the present as it is", async () => {
  const store = await year();
  const app = stopping(act().withState(Account).build(on(store)));
  const [{ id } = { id: 0 }] = await fixture.events(store, "a");
  expect((await app.load(Account, "a")).state.balance).toBe(78);
  expect((await app.load(Account, "a", undefined, { before: id + 1 })).state.balance).toBe(1);
  await app.do("deposit", { stream: "a", actor: { id: "u", name: "U" }, expectedVersion: 11 }, { amount: 2 });
  expect((await app.load(Account, "a")).state.balance).toBe(await balance(store, "true"));
});

test("an app queries a span of time", async () => {
  const store = await year();
  const app = stopping(act().withState(Account).build(on(store)));
  const span = { created_after: new Date("2024-03-01"), created_before: new Date("2024-07-01") };
  const found = await app.query_array({ stream: "^a$", ...span });
  const rows = await fixture.sql<{ id: number }[]>`
    select id::int from ${fixture.table(store)} where stream = 'a'
      and created > ${span.created_after} and created < ${span.created_before} order by id`;
  expect(found.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  expect(found).toHaveLength(4);
});
