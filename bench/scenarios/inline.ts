/**
 * Inline projections: one upsert in the transaction of the commit. The baseline commits, and does the same upsert in a
 * transaction of its own on node-postgres: two commits, between which a reader sees an event that is not counted.
 */
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, type PgDatabase, type PgQueryResultHKT, pgSchema, text } from "drizzle-orm/pg-core";
import pg from "pg";
import { z } from "zod";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { inline } from "../../src/projections/index.ts";
import { Incremented } from "../lib/counter.ts";
import { closedLoop, type Loop, loopMetrics, percentile } from "../lib/measure.ts";
import { META, message, openFresh } from "../lib/store.ts";
import type { Bench, Metrics, Prepared, Row, Scenario } from "../lib/types.ts";

const SLICES = 4;
const events = { Incremented };

async function counters({ freshSchema, admin }: Bench) {
  const schema = await freshSchema();
  await admin.unsafe(`create schema "${schema}"`);
  await admin.unsafe(`create table "${schema}".counters (stream text primary key, total int not null)`);
  return pgSchema(schema).table("counters", {
    stream: text("stream").primaryKey(),
    total: integer("total").notNull(),
  });
}

type Counters = Awaited<ReturnType<typeof counters>>;

/** One row for each stream, as an upsert of several rows needs it. */
function upsert<Result extends PgQueryResultHKT>(
  tx: Pick<PgDatabase<Result>, "insert">,
  table: Counters,
  given: readonly { readonly stream: string }[],
) {
  const totals = new Map<string, number>();
  for (const { stream } of given) totals.set(stream, (totals.get(stream) ?? 0) + 1);
  return tx
    .insert(table)
    .values([...totals].map(([stream, total]) => ({ stream, total })))
    .onConflictDoUpdate({ target: table.stream, set: { total: sql`${table.total} + excluded.total` } });
}

const projected = (table: Counters, batch: boolean) =>
  batch
    ? inline({ events, on: { Incremented: { batch: (given, tx) => upsert(tx, table, given) } } })
    : inline({ events, on: { Incremented: (given, tx) => upsert(tx, table, given) } });

async function opened(bench: Bench, options: Pick<PostgresStoreOptions, "inline">) {
  const store = new PostgresStore({ url: bench.url, schema: await bench.freshSchema(), ...options });
  await store.seed();
  return store;
}

/** Commits, each on a stream of its caller. */
const committing = (
  bench: Bench,
  inFlight: number,
  store: Pick<PostgresStore, "commit">,
  then = async (_stream: string) => {},
): Promise<Loop> =>
  closedLoop(inFlight, bench.millis, async (caller, turn) => {
    await store.commit(`c-${caller}`, [message(turn)], META);
    await then(`c-${caller}`);
  });

/** Both in turn, slice by slice, so that what else the machine does hits both; `plain` is the p50 without projections. */
async function beside(
  bench: Bench,
  inFlight: number,
  store: PostgresStore,
  plain: PostgresStore,
): Promise<Metrics> {
  const slice = { ...bench, millis: bench.millis / SLICES };
  const own: number[] = [];
  const others: number[] = [];
  for (let n = 0; n < SLICES; n++) {
    others.push(...(await committing(slice, inFlight, plain)).latencies);
    own.push(...(await committing(slice, inFlight, store)).latencies);
  }
  return {
    ...loopMetrics({ latencies: own, seconds: bench.millis / 1_000 }),
    plain: percentile(others, 0.5),
  };
}

async function prepareBeside(
  bench: Bench,
  inFlight: number,
  projections: PostgresStoreOptions["inline"],
): Promise<Prepared> {
  const store = await opened(bench, { inline: projections });
  const plain = await opened(bench, {});
  return {
    run: () => beside(bench, inFlight, store, plain),
    close: async () => void (await Promise.all([store.dispose(), plain.dispose()])),
  };
}

function inlineUpsert(inFlight: number, must: Partial<Row>, atMost?: Pick<Row, "must" | "goal">): Scenario {
  const name = `inline-${inFlight}`;
  return {
    name,
    title: `A commit and one upsert in its transaction (baseline: act-pg's protocol, then the upsert by hand on node-postgres), ${inFlight} in flight`,
    rows: () => [
      {
        id: name,
        label: `commit with one upsert inline, ${inFlight} in flight`,
        metric: "perSecond",
        unit: "commits/s",
        better: "more",
        ...must,
      },
      {
        id: `${name}-p50`,
        label: `p50 of a commit with one upsert inline, ${inFlight} in flight`,
        metric: "p50",
        unit: "ms",
        better: "less",
        ...atMost,
      },
    ],
    prepare: async (bench, subject) => {
      if (subject.id === "act-drizzle")
        return prepareBeside(bench, inFlight, projected(await counters(bench), inFlight > 1));
      const table = await counters(bench);
      const { store } = await openFresh(bench, subject);
      const pool = new pg.Pool({ connectionString: bench.url, max: inFlight });
      const db = drizzle(pool);
      const byHand = (stream: string) =>
        db.transaction(async (tx) => void (await upsert(tx, table, [{ stream }])));
      return {
        run: async () => loopMetrics(await committing(bench, inFlight, store, byHand)),
        close: async () => void (await Promise.all([store.dispose(), pool.end()])),
      };
    },
  };
}

/** The option is set, and nothing is projected. */
function unmatched(inFlight: number): Scenario {
  const name = `inline-unmatched-${inFlight}`;
  return {
    name,
    title: `Commits that nobody projects inline, where others are, ${inFlight} in flight`,
    rows: () => [
      {
        id: name,
        label: `p50 of a commit that is not projected inline, ${inFlight} in flight`,
        metric: "p50",
        unit: "ms",
        better: "less",
        must: { own: "plain", atMost: 1.1 },
        goal: "≤ 1.1 × its own without the option",
      },
    ],
    prepare: async (bench, subject) => {
      if (subject.id !== "act-drizzle") {
        const { store } = await openFresh(bench, subject);
        return {
          run: async () => loopMetrics(await committing(bench, inFlight, store)),
          close: () => store.dispose(),
        };
      }
      const other = inline({ events: { Other: z.object({}) }, on: { Other: () => {} } });
      return prepareBeside(bench, inFlight, other);
    },
  };
}

export const inlineScenarios: readonly Scenario[] = [
  inlineUpsert(1, {}, { must: { own: "plain", atMost: 1.5 }, goal: "≤ 1.5 × its own plain commit" }),
  inlineUpsert(8, {}),
  inlineUpsert(32, { must: { times: 3 }, goal: "≥ 3 ×" }),
  unmatched(1),
  unmatched(32),
];
