/**
 * What the tools around read models cost: backfill() of new targets beside the framework's own correlation of the same
 * history, a typed read beside the same SQL by hand, and a test's own schema beside a test's own database.
 */
import { act } from "@rotorsoft/act";
import { eq, sql, sum } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import pg from "pg";
import { PostgresStore } from "../../src/index.ts";
import { backfill } from "../../src/projections/index.ts";
import { numberIn, typedEvents } from "../../src/queries/index.ts";
import { actTables } from "../../src/schema/tables.ts";
import { testKit } from "../../src/testing/index.ts";
import { buildApp } from "../lib/app.ts";
import { Counter, Incremented } from "../lib/counter.ts";
import { fillEvents, streamName } from "../lib/data.ts";
import { closedLoop, loopMetrics } from "../lib/measure.ts";
import type { Bench, Scenario } from "../lib/types.ts";

const STREAMS = 2_000;
const PER_STREAM = 20;
const PAGE = 1_000;

async function history({ url, admin, freshSchema }: Bench) {
  const schema = await freshSchema();
  const store = new PostgresStore({ url, schema });
  await store.seed();
  await fillEvents(admin, { schema, streams: STREAMS, perStream: PER_STREAM });
  return { schema, store };
}

const backfillScenario: Scenario = {
  name: "backfill",
  title: `A target for each of ${STREAMS} streams with ${PER_STREAM} events each: backfill(), and an app's own correlation, ${PAGE} events at a time, of a log without a checkpoint`,
  rows: () => [
    {
      id: "backfill",
      label: "backfill of dynamic targets (baseline: the framework's correlation)",
      metric: "perSecond",
      unit: "events/s",
      better: "more",
    },
  ],
  prepare: async (bench, subject) => {
    const { schema, store } = await history(bench);
    return {
      run: async () => {
        await bench.admin.unsafe(`truncate "${schema}".events_streams, "${schema}".events_correlated`);
        const app = buildApp(store, () => {});
        const start = performance.now();
        if (subject.id === "act-drizzle") await backfill({ app, store });
        else
          for (let at = -1, last = -2; at !== last; )
            [last, at] = [at, (await app.correlate({ limit: PAGE })).last_id];
        const seconds = (performance.now() - start) / 1_000;
        await app.shutdown();
        const [row] = await bench.admin.unsafe(`select count(*)::int as n from "${schema}".events_streams`);
        if (row?.n !== STREAMS) throw new Error(`${row?.n} of ${STREAMS} targets are subscribed`);
        return { perSecond: (STREAMS * PER_STREAM) / seconds };
      },
      close: () => store.dispose(),
    };
  },
};

const typedRead: Scenario = {
  name: "typed-read",
  title:
    "A sum over the payloads of one stream's events by typedEvents of act-drizzle/queries, and the same SQL by hand",
  rows: () => [
    {
      id: "typed-read",
      label: "typed read of a payload's field, prepared (baseline: the same SQL by hand), p50",
      metric: "p50",
      unit: "ms",
      better: "less",
    },
  ],
  prepare: async (bench, subject) => {
    const { schema, store } = await history(bench);
    const { events } = actTables({ schema });
    const client = new pg.Pool({ connectionString: bench.url, max: 1 });
    const own = subject.id === "act-drizzle";
    const read = own ? typed(drizzle(client), events) : byHand(client, schema);
    return {
      run: async () => loopMetrics(await closedLoop(1, bench.millis, (_, turn) => read(turn % STREAMS))),
      close: async () => void (await Promise.all([client.end(), store.dispose()])),
    };
  },
};

/** Prepared, as what is written by hand: else the planner's work is what is compared. */
function typed(db: ReturnType<typeof drizzle>, events: ReturnType<typeof actTables>["events"]) {
  const incremented = typedEvents(events, { Incremented }).named("Incremented");
  const read = db
    .select({ total: sum(numberIn(incremented.data, "amount")) })
    .from(incremented)
    .where(eq(incremented.stream, sql.placeholder("stream")))
    .prepare("typed_read");
  return async (n: number) => {
    await read.execute({ stream: streamName(n) });
  };
}

const byHand = (client: pg.Pool, schema: string) => async (n: number) => {
  const text = `select sum((data ->> 'amount')::numeric) as total from "${schema}".events
    where name = 'Incremented' and stream = $1`;
  await client.query({ name: "by_hand", text, values: [streamName(n)] });
};

const testKitScenario: Scenario = {
  name: "test-kit",
  title: "A test's own store, made and dropped: testKit(), and a database with a seeded store by hand",
  rows: () => [
    {
      id: "test-kit",
      label: "a test's own store, made and dropped (baseline: a database of its own), p50",
      metric: "p50",
      unit: "ms",
      better: "less",
    },
  ],
  prepare: async (bench, subject) => {
    const { url, admin, millis } = bench;
    const viaKit = async () => {
      const kit = await testKit({ url, build: ({ options }) => act().withState(Counter).build(options) });
      await kit.dispose();
    };
    const viaDatabase = async () => {
      await admin.unsafe("create database act_bench_test");
      const address = new URL(url);
      address.pathname = "/act_bench_test";
      const store = new PostgresStore({ url: address.href });
      await store.seed();
      await store.dispose();
      await admin.unsafe("drop database act_bench_test");
    };
    const make = subject.id === "act-drizzle" ? viaKit : viaDatabase;
    return { run: async () => loopMetrics(await closedLoop(1, millis, make)), close: async () => {} };
  },
};

export const readModelScenarios: readonly Scenario[] = [backfillScenario, typedRead, testKitScenario];
