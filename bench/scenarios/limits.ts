/**
 * Plans that turned: a limit beside a filter, no statistics, much that is due at once. 300,000 events over a quarter of
 * a year, 100,000 subscriptions.
 */
import type { Query, Store } from "@rotorsoft/act";
import type postgres from "postgres";
import { median, timed } from "../lib/measure.ts";
import { seeded } from "../lib/store.ts";
import type { Bench, Metrics, Row, Scenario, Subject } from "../lib/types.ts";

const EVENTS = 300_000;
const SUBSCRIPTIONS = 100_000;
const SOURCES = 5_000;
const NAMES = 1_000;
const BY = "11111111-2222-4333-8444-555555555555";
const ROUNDS = 7;
const day = (n: number) => new Date(Date.UTC(2026, 0, 1 + n));

/** One event each 26 s; the streams `old:…` and the name `Retired` end with the first 3,000. */
async function fill(sql: postgres.Sql, schema: string): Promise<void> {
  await sql.unsafe(`insert into "${schema}".events (stream, version, name, data, meta, created)
    select case when g < 3000 then 'old:' else 's-' end || g % 3000, g / 3000,
      case when g < 3000 then 'Retired' when g % 2 = 0 then 'Opened' else 'Closed' end,
      jsonb_build_object('n', g), '{"correlation":"c","causation":{}}', timestamptz '2026-01-01Z' + g * interval '26 s'
    from generate_series(0, ${EVENTS - 1}) g`);
  await sql.unsafe(`insert into "${schema}".events_streams
      (stream, source, at, retry, priority, lane, correlated_at, deferred_at, blocked)
    select 'sub-' || lpad(g::text, 8, '0'), case when g < ${SOURCES} then '^s-' || g end, g, -1, g % 3, 'default',
      g + 5, timestamptz '2026-01-01Z', g % 1000 = 999
    from generate_series(0, ${SUBSCRIPTIONS - 1}) g order by md5(g::text)`);
  await sql.unsafe(`vacuum (analyze) "${schema}".events, "${schema}".events_streams`);
}

const row = (metric: string, label: string, atMost: number): Row => ({
  id: `limits-${metric}`,
  label,
  metric,
  unit: "ms",
  better: "less",
  must: { atMost },
  goal: `≤ ${atMost} ms`,
});

const reads: readonly { metric: string; label: string; atMost: number; query: Query; found: number }[] = [
  {
    metric: "day",
    label: "query, newest 10 of one day",
    atMost: 10,
    query: { created_after: day(20), created_before: day(21), backward: true, limit: 10 },
    found: 10,
  },
  {
    metric: "whole-day",
    label: "query, all of one day (3,323 events)",
    atMost: 200,
    query: { created_after: day(20), created_before: day(21) },
    found: 3_323,
  },
  {
    metric: "month",
    label: "query, all of a month (103,015 events)",
    atMost: 3_000,
    query: { created_after: day(31), created_before: day(62) },
    found: 103_015,
  },
  {
    metric: "gone",
    label: "query, a name that is no longer emitted, behind its last event",
    atMost: 10,
    query: { names: ["Retired"], after: 5_000, limit: 100 },
    found: 0,
  },
  {
    metric: "anchored",
    label: "query, ^old:.*$ backward",
    atMost: 30,
    query: { stream: "^old:.*$", backward: true, limit: 100 },
    found: 100,
  },
  {
    metric: "prefix",
    label: "query, ^prefix without a limit (3,000 events)",
    atMost: 150,
    query: { stream: "^old:" },
    found: 3_000,
  },
];

async function middle(run: () => Promise<unknown>): Promise<number> {
  await run();
  const took: number[] = [];
  for (let n = 0; n < ROUNDS; n++) took.push(await timed(run));
  return median(took);
}

async function measure(store: Store): Promise<Metrics> {
  const metrics: Record<string, number> = {};
  for (const { metric, query, found } of reads)
    metrics[metric] = await middle(async () => {
      const count = await store.query(() => {}, query);
      if (count !== found) throw new Error(`${metric}: expected ${found}, got ${count}`);
    });
  metrics.blocked = await middle(() => store.query_streams(() => {}, { blocked: true, limit: 100 }));
  const names = Array.from({ length: NAMES }, (_, n) => `s-${n * 3}`);
  metrics.sources = await middle(() =>
    store.query_streams(() => {}, { source_matches: names, limit: SOURCES }),
  );
  metrics.due = await middle(() => store.claim(5, 5, BY, 0));
  return metrics;
}

/** As on tables that were never analyzed, which a bulk load leaves. */
async function forgetStatistics({ admin }: Bench, schema: string): Promise<void> {
  const tables = `(select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = '${schema}')`;
  await admin.unsafe(`alter table "${schema}".events_streams set (autovacuum_enabled = false)`);
  await admin.unsafe(`delete from pg_statistic where starelid in ${tables}`);
  await admin.unsafe(
    `update pg_class set reltuples = -1, relpages = 0, relallvisible = 0 where oid in ${tables}`,
  );
}

const limits: Scenario = {
  name: "limits",
  title: "Filters with a limit, claims of what is due, and others whose plans had turned",
  extra: true,
  rows: () => [
    ...reads.map(({ metric, label, atMost }) => row(metric, label, atMost)),
    row("blocked", "query_streams, a page of 100 blocked", 10),
    row("sources", "query_streams, 1,000 names × 5,000 sources", 1_000),
    row("due", "claim 10, 100,000 due at once", 40),
    row("unknown", "claim 10, 100,000 due at once, without statistics", 40),
    row("reset", "reset of 100,000", 8_000),
  ],
  prepare: async (bench: Bench, subject: Subject) => {
    const schema = await seeded(bench, subject, "limits", (name) => fill(bench.admin, name));
    const store = await subject.open({ url: bench.url, schema });
    return {
      run: async () => {
        await bench.admin.unsafe(
          `update "${schema}".events_streams set deferred_at = '2026-01-01Z', leased_by = null, leased_until = null, blocked = right(stream, 3) = '999'`,
        );
        await bench.admin.unsafe(`vacuum (analyze) "${schema}".events_streams`);
        const metrics = { ...(await measure(store)) };
        await forgetStatistics(bench, schema);
        const unknown = await subject.open({ url: bench.url, schema });
        try {
          const took = await middle(() => unknown.claim(5, 5, BY, 0));
          return { ...metrics, unknown: took, reset: await timed(() => store.reset({})) };
        } finally {
          await unknown.dispose();
        }
      },
      close: () => store.dispose(),
    };
  },
};

export const limitScenarios: readonly Scenario[] = [limits];
