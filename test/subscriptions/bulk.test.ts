/** Operator verbs on more subscriptions than one statement can change within its statement_timeout. */
import { describe, expect, test } from "vitest";
import { contextOf } from "../../src/context.ts";
import type { PostgresStore } from "../../src/index.ts";
import { reset } from "../../src/subscriptions/reset.ts";
import { failureOf, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** Blocked subscriptions s00000 and on. With `slow` each changed row takes a millisecond. */
async function withMany(count: number, { slow = false, timeout = 60_000 } = {}): Promise<PostgresStore> {
  const store = await fixture.seeded({ statement_timeout: timeout });
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`
    insert into "${schema}"."${table}_streams" (stream, source, at, retry, priority, lane, correlated_at, blocked, error)
    select 's' || lpad(n::text, 5, '0'), 'x', 5, 3, 0, 'default', 9, true, 'broken' from generate_series(0, ${count - 1}) n`);
  await fixture.sql.unsafe(`analyze "${schema}"."${table}_streams"`);
  if (slow)
    await fixture.sql.unsafe(`
      create function "${schema}"."${table}_wait"() returns trigger language plpgsql as $$ begin
        perform pg_sleep(0.001); return new; end $$;
      create trigger wait before update on "${schema}"."${table}_streams"
        for each row execute function "${schema}"."${table}_wait"()`);
  return store;
}

async function positionsOf(store: PostgresStore) {
  const found: { at: number; priority: number; blocked: boolean; deferred_at?: number | undefined }[] = [];
  await store.query_streams((position) => void found.push(position), { limit: 100_000 });
  return found;
}

describe("verbs that take longer than statement_timeout", () => {
  const COUNT = 1_200;
  const names = Array.from({ length: COUNT }, (_, n) => `s${String(n).padStart(5, "0")}`);
  const verbs: Record<string, (store: PostgresStore) => Promise<number>> = {
    "reset of a filter": (store) => store.reset({}),
    "reset of names": (store) => store.reset(names),
    "unblock of a filter": (store) => store.unblock({ source: "x", source_exact: true }),
    "defer of a filter": (store) => store.defer({ lane: "default" }, 4_000_000_000_000),
    "prioritize of a filter": (store) => store.prioritize({ stream: "^s" }, 7),
  };
  test.each(Object.keys(verbs))("%s changes all, in pages", async (name) => {
    const store = await withMany(COUNT, { slow: true, timeout: 600 });
    expect(await verbs[name]?.(store)).toBe(COUNT);
    const positions = await positionsOf(store);
    const changed = positions.filter(
      ({ at, priority, blocked, deferred_at }) => at === -1 || priority === 7 || !blocked || deferred_at,
    );
    expect(changed).toHaveLength(COUNT);
  });

  test("one row that cannot be changed in time fails, and says so", async () => {
    const store = await withMany(1, { timeout: 300 });
    const { table } = store.config;
    await fixture.sql.begin(async (sql) => {
      await sql.unsafe(`select from ${table}_streams for update`);
      const { error } = await failureOf(store.reset({}));
      expect(error).toMatchObject({ cause: { code: "57014" } });
    });
  });
});

test("more than 20,000 are changed page by page, with progress, and each is counted once", async () => {
  const store = await withMany(45_000);
  const told: number[] = [];
  const changed = await reset(contextOf(store), {}, { onProgress: (n) => told.push(n) });
  expect(changed).toBe(45_000);
  expect(told.length).toBeGreaterThan(2);
  expect(told).toEqual([...told].sort((a, b) => a - b));
  expect(told.at(-1)).toBe(45_000);
  const positions = await positionsOf(store);
  expect(positions.filter(({ at, blocked }) => at === -1 && !blocked)).toHaveLength(45_000);
});

test("a row that a trigger keeps as it was does not end the pages before the last one", async () => {
  const store = await withMany(25_000);
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`
    create function "${schema}"."${table}_keep"() returns trigger language plpgsql as $$ begin
      if new.stream = 's00003' then return null; end if; return new; end $$;
    create trigger keep before update on "${schema}"."${table}_streams"
      for each row execute function "${schema}"."${table}_keep"()`);
  expect(await store.reset({})).toBe(24_999);
});

test("names are told of one progress, however many there are", async () => {
  const store = await withMany(12_000);
  const told: number[] = [];
  const names = Array.from({ length: 12_000 }, (_, n) => `s${String(n).padStart(5, "0")}`);
  expect(await reset(contextOf(store), [...names, ...names], { onProgress: (n) => told.push(n) })).toBe(
    12_000,
  );
  expect(told).toEqual([5_000, 10_000, 12_000]);
});

test("a restore over a long log is not bound by statement_timeout, and deletes all of it", async () => {
  const store = await withMany(21_000, { timeout: 400 });
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`insert into "${schema}"."${table}" (name, data, stream, version, meta)
    select 'N', '{}', 's' || n % 10, n / 10, '{}' from generate_series(0, 60000) n`);
  // Each page of the DELETE takes longer than the timeout.
  await fixture.sql.unsafe(`
    create function "${schema}"."${table}_gone"() returns trigger language plpgsql as $$ begin
      perform pg_sleep(0.5); return null; end $$;
    create trigger gone after delete on "${schema}"."${table}" for each statement execute function "${schema}"."${table}_gone"()`);
  await store.restore(async (insert) => {
    await insert({
      id: 1,
      stream: "s",
      version: 0,
      created: new Date(),
      name: "A",
      data: {},
      meta: { correlation: "c", causation: {} },
    });
  });
  expect(await fixture.rows(store)).toEqual([{ stream: "s", version: 0, name: "A" }]);
  expect(await positionsOf(store)).toEqual([]);
});
