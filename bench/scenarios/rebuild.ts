/**
 * A per-stream counter filled from a log: rebuild() of act-drizzle/projections, and the framework's own drain of the same
 * projection, with a batch handler and its default limits. Both write the same table by the same statement.
 */
import { act, InMemoryCache, projection } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import pg from "pg";
import { PostgresStore } from "../../src/index.ts";
import { actPositions, rebuild } from "../../src/projections/index.ts";
import { Counter, Incremented } from "../lib/counter.ts";
import { fillEvents } from "../lib/data.ts";
import type { Bench, Scenario, Subject } from "../lib/types.ts";

const STREAMS = 1_000;
/** The drain is slower by so much that it gets fewer. */
const EVENTS = { rebuild: 500_000, drain: 5_000, largeDrain: 100_000 } as const;

async function prepare(bench: Bench, subject: Subject, eventLimit: number | undefined) {
  const { url, admin, freshSchema } = bench;
  const schema = await freshSchema();
  const own = subject.id === "act-drizzle";
  const store = new PostgresStore({ url, schema, max: 6 });
  await store.seed();
  const drained = eventLimit === undefined ? EVENTS.drain : EVENTS.largeDrain;
  const events = own ? EVENTS.rebuild : drained;
  await fillEvents(admin, { schema, streams: STREAMS, perStream: events / STREAMS });
  await admin.unsafe(`create table "${schema}".counters (stream text primary key, total int not null);
    create table "${schema}".act_positions (projection text not null, target text not null, at bigint not null default -1,
      handlers text[], generation int not null default 0, since timestamptz not null default now());
    create unique index on "${schema}".act_positions (projection, target)`);
  const counters = pgSchema(schema).table("counters", {
    stream: text("stream").primaryKey(),
    total: integer("total").notNull(),
  });
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  const db = drizzle(pool);
  type Tx = Pick<Parameters<Parameters<typeof db.transaction>[0]>[0], "insert">;
  const count = async (given: readonly { readonly stream: string }[], tx: Tx, table: typeof counters) => {
    const totals = new Map<string, number>();
    for (const { stream } of given) totals.set(stream, (totals.get(stream) ?? 0) + 1);
    await tx
      .insert(table)
      .values([...totals].map(([stream, total]) => ({ stream, total })))
      .onConflictDoUpdate({ target: table.stream, set: { total: sql`${table.total} + excluded.total` } });
  };
  const positions = actPositions({ schema });
  const viaRebuild = () =>
    rebuild({
      db,
      store,
      projection: "counts",
      positions,
      events: { Incremented },
      tables: { counters },
      apply: (given, tx, tables) => count(given, tx, tables.counters),
      restart: true,
    });
  const view = projection("counts")
    .on({ Incremented })
    .do(async function one() {})
    .batch(async (given) => void (await db.transaction((tx) => count(given, tx, counters))))
    .build();
  const app = act()
    .withState(Counter)
    .withProjection(view)
    .build({ scoped: { store, cache: new InMemoryCache() }, listen: false });
  const viaDrain = async () => {
    await db.delete(counters);
    // It correlates before the reset, which then finds the subscription, and arms the drain.
    for (let more = true; more; ) more = (await app.correlate({ limit: events })).subscribed > 0;
    await app.reset(["counts"]);
    let idle = 0;
    for (let done = 0; done < events; ) {
      const { acked } = await app.drain({ eventLimit });
      done = Math.max(done, ...acked.map(({ at }) => at));
      if (acked.length === 0 && ++idle > 100) throw new Error(`the drain stopped at ${done} of ${events}`);
    }
  };
  return {
    run: async () => {
      const start = performance.now();
      await (own ? viaRebuild() : viaDrain());
      const seconds = (performance.now() - start) / 1_000;
      const [row] = await admin.unsafe(`select sum(total)::int as total from "${schema}".counters`);
      if (row?.total !== events) throw new Error(`counted ${row?.total} of ${events}`);
      return { perSecond: events / seconds, milliseconds: seconds * 1_000 };
    },
    close: async () => {
      await app.shutdown();
      await pool.end();
      await store.dispose();
    },
  };
}

/** Act fetches 10 events at a time by default. */
const rebuildScenario = (name: string, eventLimit?: number): Scenario => ({
  name,
  title: `A per-stream counter over ${STREAMS} streams, from an empty table; the drain fetches ${eventLimit ?? 10} events at a time`,
  rows: () => [
    {
      id: name,
      label: `rebuild of a per-stream counter (baseline: the framework's drain, batched, ${eventLimit ?? 10} events at a time)`,
      metric: "perSecond",
      unit: "events/s",
      better: "more",
      ...(eventLimit === undefined && {
        must: { times: 10, atLeast: 100_000 },
        goal: "≥ 100,000 events/s and ≥ 10 ×",
      }),
    },
  ],
  prepare: (bench, subject) => prepare(bench, subject, eventLimit),
});

export const rebuildScenarios: readonly Scenario[] = [
  rebuildScenario("rebuild"),
  rebuildScenario("rebuild-drain-1000", 1_000),
];
