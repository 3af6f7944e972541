/** PostgresIdempotency: a key is handled once, however many ask for it. */
import { ValidationError } from "@rotorsoft/act";
import { getTableConfig } from "drizzle-orm/pg-core";
import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { actIdempotency, type IdempotencyOptions, PostgresIdempotency } from "../../src/idempotency/index.ts";
import { failureOf, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
let tables = 0;

/** Some processes' stores, and their keys in one table. */
async function keys(count = 1, options: IdempotencyOptions = {}) {
  const table = `keys_${tables++}`;
  const all = Array.from(
    { length: count },
    () => new PostgresIdempotency(fixture.store(), { table, ...options }),
  );
  const [first] = all;
  if (!first) throw new Error("At least one is needed");
  await Promise.all(all.map((one) => one.seed()));
  return { table, all, first, other: all[1] ?? first };
}

const DAY = 24 * 3_600_000;

test("of 64 racers in four processes one executes", async () => {
  const { all } = await keys(4);
  let executed = 0;
  await Promise.all(
    Array.from({ length: 64 }, async (_, n) => {
      const one = all[n % all.length];
      if (!(await one?.claim("payment-1"))) return;
      executed++;
      await one?.commit("payment-1");
    }),
  );
  expect(executed).toBe(1);
});

test("a released key may be claimed by a retry, anywhere", async () => {
  const { first, other } = await keys(2);
  expect(await first.claim("k")).toBe(true);
  expect(await other.claim("k")).toBe(false);
  await first.release("k");
  expect(await other.claim("k")).toBe(true);
});

test("a release has no effect on a committed key, nor on another process's reservation", async () => {
  const { first, other } = await keys(2);
  await first.claim("done");
  await first.commit("done");
  await first.release("done");
  expect(await other.claim("done")).toBe(false);
  await first.claim("mine");
  await other.release("mine");
  expect(await other.claim("mine")).toBe(false);
});

test("a key that was never claimed is recorded by its commit", async () => {
  const { first } = await keys();
  await first.commit("k");
  expect(await first.claim("k")).toBe(false);
});

test("a committed key is refused until the very end of its time to live", async () => {
  const { first } = await keys();
  const now = Date.now();
  expect(await first.claim("k", now)).toBe(true);
  await first.commit("k", now);
  expect(await first.claim("k", now + DAY - 1)).toBe(false);
  expect(await first.claim("k", now + DAY)).toBe(true);
});

test("a second commit does not shorten the time to live", async () => {
  const { first } = await keys();
  const now = Date.now();
  await first.commit("k", now + 1_000);
  await first.commit("k", now);
  expect(await first.claim("k", now + DAY)).toBe(false);
});

test("the reservation of a process that died is free after its own time", async () => {
  const { first, other } = await keys(2, { reservationMs: 5_000 });
  const now = Date.now();
  await first.claim("k", now);
  expect(await other.claim("k", now + 4_999)).toBe(false);
  expect(await other.claim("k", now + 5_000)).toBe(true);
  await first.release("k");
  expect(await first.claim("k", now + 5_001)).toBe(false);
});

test("claims clean up what has expired, ten at a time, and nothing else, whatever time they are told", async () => {
  const { first, table } = await keys();
  const { sql, parts } = fixture;
  const place = `"${parts.schema}"."${table}"`;
  await sql.unsafe(`insert into ${place} (key, committed, expires_at)
    select 'old-' || n, true, now() - interval '1 second' from generate_series(1, 25) n`);
  await sql.unsafe(`insert into ${place} (key, committed, expires_at)
    select 'new-' || n, true, now() + interval '1 hour' from generate_series(1, 25) n`);
  const left = async (prefix: string) =>
    (await sql.unsafe(`select from ${place} where key like '${prefix}%'`)).length;
  await first.claim("a");
  expect(await left("old-")).toBe(15);
  await first.claim("b", Date.now() + 10 * DAY);
  await first.claim("c");
  expect([await left("old-"), await left("new-")]).toEqual([0, 25]);
});

test("seed() makes the table that the Drizzle table describes", async () => {
  const { table } = await keys();
  const { schema } = fixture.parts;
  const { columns } = getTableConfig(actIdempotency({ table }));
  const rows = await fixture.sql`
    select column_name as name, data_type as type, is_nullable = 'NO' as "notNull"
    from information_schema.columns where table_schema = ${schema} and table_name = ${table} order by ordinal_position`;
  expect([...rows]).toEqual(
    columns.map((column) => ({ name: column.name, type: column.getSQLType(), notNull: column.notNull })),
  );
});

test("keys that cannot be kept are refused", async () => {
  const { first } = await keys();
  for (const key of ["", "x".repeat(501), "a\u0000b"])
    expect((await failureOf(first.claim(key))).error).toBeInstanceOf(ValidationError);
  for (const now of [Number.NaN, -1, 1e300])
    for (const verb of ["claim", "commit"] as const)
      expect((await failureOf(first[verb]("k", now))).error).toBeInstanceOf(ValidationError);
  for (const ttlMs of [0, 1e300, Number.POSITIVE_INFINITY])
    expect(() => new PostgresIdempotency(fixture.store(), { ttlMs })).toThrow(
      "ttlMs must be a number of ms above 0",
    );
  const misspelt = { ttl: 1_000 } as object;
  expect(() => new PostgresIdempotency(fixture.store(), misspelt)).toThrow(
    'unknown option "ttl"; the options are schema',
  );
});

test("a receiver answers a duplicate without handling it, and a retry after a failure is handled", async () => {
  const { first } = await keys();
  let handled = 0;
  let broken = true;
  const app = new Hono().post("/payments", async (c) => {
    const key = c.req.header("idempotency-key") ?? "";
    if (!(await first.claim(key))) return c.text("duplicate");
    if (broken) {
      await first.release(key);
      return c.text("later", 503);
    }
    handled++;
    await first.commit(key);
    return c.text("handled", 201);
  });
  const post = async () =>
    (await app.request("/payments", { method: "POST", headers: { "idempotency-key": "p-1" } })).status;
  expect(await post()).toBe(503);
  broken = false;
  expect([await post(), await post(), handled]).toEqual([201, 200, 1]);
});

test("seed() of what is there waits for no open transaction", async () => {
  const { table, first } = await keys();
  await first.claim("k");
  const name = `"${fixture.parts.schema}"."${table}"`;
  const open = await fixture.sql.reserve();
  onTestFinished(async () => {
    await open`rollback`;
    open.release();
  });
  await open`begin`;
  await open.unsafe(`update ${name} set committed = true`);

  await first.seed();
  expect(await first.claim("other")).toBe(true);
});
