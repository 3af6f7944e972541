/**
 * Line M5 under load: N processes append to M streams while readers tail by `after`. What a reader has
 * seen must be all that was committed: an event that appeared below the last id seen would be missing.
 * `ORDER_EVENTS=1000000` for a long run.
 */
import { cpus } from "node:os";
import type postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { type AppenderOptions, append } from "./appenders.ts";
import { lockText, type TableName } from "./lock.ts";
import { type Tail, tail, throughSql, throughStore } from "./tail.ts";

const total = Number(process.env.ORDER_EVENTS ?? 100_000);
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const timeout = 60_000 + total;

let database: TestDatabase;
let sql: postgres.Sql;
let name: TableName;
let store: PostgresStore;
let count = 0;

beforeAll(async () => {
  database = await createDatabase();
  sql = connect(database.url);
  console.log(`order: ${total} events, ${cpus().length} cores, SEED=${seed}`);
});
afterAll(async () => {
  await sql.end();
  await database.drop();
});
beforeEach(async () => {
  name = { url: database.url, schema: database.schema, table: `tail_${count++}` };
  store = new PostgresStore({ ...name, max: 4 });
  onTestFinished(() => store.dispose());
  await store.seed();
});

type Writers = Partial<AppenderOptions> & { readonly kinds: readonly AppenderOptions["kind"][] };

/** Runs the writers beside three readers; returns what was acknowledged, stored and seen. */
async function run({ kinds, events = total, ...rest }: Writers) {
  const share = Math.ceil(events / kinds.length);
  const writers = Promise.all(
    kinds.map((kind, writer) =>
      append({ ...name, batch: 20, streams: 16, inFlight: 32, seed, ...rest, kind, writer, events: share }),
    ),
  );
  const reader = connect(database.url);
  onTestFinished(() => reader.end());
  const tails = await Promise.all([
    tail(throughStore(store), writers, 1_000),
    tail(throughStore(store), writers, 37),
    tail(throughSql(reader, name), writers, 100_000),
  ]);
  const acknowledged = (await writers).flatMap(({ ids }) => ids).sort((a, b) => a - b);
  const rows = await sql.unsafe(`select id from ${lockText(name)} order by id`);
  return { acknowledged, stored: rows.map(({ id }) => Number(id)), tails, share };
}

/** The first ids of one list that the other lacks: short enough to read when a test fails. */
function missing(from: readonly number[], all: readonly number[]): number[] {
  const known = new Set(from);
  return all.filter((id) => !known.has(id)).slice(0, 10);
}

/** Equal, without printing a hundred thousand numbers when they are not. */
function expectSame(ids: readonly number[], others: readonly number[]): void {
  expect(missing(ids, others)).toEqual([]);
  expect(missing(others, ids)).toEqual([]);
  expect(ids.length).toBe(others.length);
}

function expectSeenInOrder(acknowledged: readonly number[], tails: readonly Tail[]): void {
  for (const { ids, pages } of tails) {
    expectSame(ids, acknowledged);
    // Else the readers came when all was over, and nothing was tried.
    expect(pages).toBeGreaterThan(5);
  }
}

/** Rows that break a rule along the log: dense versions per stream, and time that does not run backward. */
async function brokenRows(rule: "version" | "created"): Promise<number> {
  const broken = {
    version: "version <> coalesce(lag(version) over (partition by stream order by id), -1) + 1",
    created: "created < lag(created) over (order by id)",
  };
  const [row] = await sql.unsafe(
    `select count(*)::int as n from (select ${broken[rule]} as bad from ${lockText(name)}) r where bad`,
  );
  return Number(row?.n);
}

/** Between the id and the commit every transaction takes a nap, so that those without a lock overtake. */
async function delayCommits(millis: number): Promise<void> {
  await sql.unsafe(`
    create or replace function ${name.table}_nap() returns trigger language plpgsql as
    $$ begin perform pg_sleep(random() * ${millis} / 1000); return null; end $$;
    create trigger nap after insert on ${lockText(name)}
      for each statement execute function ${name.table}_nap();
    create constraint trigger late_nap after insert on ${lockText(name)} deferrable initially deferred
      for each row when (new.id % 5 = 0) execute function ${name.table}_nap()`);
}

describe("M5: readers that tail by `after` see everything that was committed", { timeout }, () => {
  test("by four processes to sixteen streams", async () => {
    const { acknowledged, stored, tails, share } = await run({
      kinds: ["store", "store", "store", "store"],
    });

    expect(acknowledged.length).toBe(4 * share);
    expectSame(acknowledged, stored);
    expectSeenInOrder(acknowledged, tails);
    expect(await brokenRows("version")).toBe(0);
    expect(await brokenRows("created")).toBe(0);
  });

  test("with random delays between the ids and COMMIT", async () => {
    await delayCommits(5);
    const { acknowledged, stored, tails } = await run({
      kinds: ["store", "store", "store"],
      events: total * 0.03,
      batch: 5,
    });

    expectSame(acknowledged, stored);
    expectSeenInOrder(acknowledged, tails);
    expect(await brokenRows("version")).toBe(0);
    expect(await brokenRows("created")).toBe(0);
  });

  test("together with writers that speak act-pg's protocol", async () => {
    const { acknowledged, stored, tails } = await run({
      kinds: ["store", "act-pg", "store", "act-pg"],
      events: total / 20,
      batch: 5,
      inFlight: 16,
    });

    expectSame(acknowledged, stored);
    expectSeenInOrder(acknowledged, tails);
    expect(await brokenRows("version")).toBe(0);
  });

  test("together with act-pg's protocol and random delays", async () => {
    await delayCommits(5);
    const { acknowledged, stored, tails } = await run({
      kinds: ["store", "act-pg", "store"],
      events: total * 0.015,
      batch: 3,
      inFlight: 8,
    });

    expectSame(acknowledged, stored);
    expectSeenInOrder(acknowledged, tails);
    expect(await brokenRows("version")).toBe(0);
  });

  test.each(["repeatable read", "serializable"])(
    "when the database's default isolation is %s",
    async (isolation) => {
      const alter = (value: string) =>
        sql.unsafe(`alter database "${database.name}" set default_transaction_isolation = ${value}`);
      await alter(`'${isolation}'`);
      onTestFinished(async () => void (await alter("default")));
      const { acknowledged, stored, tails } = await run({
        kinds: ["store", "store"],
        events: total * 0.03,
        batch: 3,
      });

      expectSame(acknowledged, stored);
      expectSeenInOrder(acknowledged, tails);
      expect(await brokenRows("version")).toBe(0);
    },
  );

  test("and these readers do notice a writer that takes no lock", async () => {
    await delayCommits(20);
    const { acknowledged, tails } = await run({
      kinds: ["reckless", "reckless"],
      events: 300,
      batch: 2,
      inFlight: 8,
    });

    expect(missing(tails[0].ids, acknowledged)).not.toEqual([]);
  });
});
