/** Appending: one process, then several. */
import postgres from "postgres";
import type { CommitParams } from "../jobs/commit.ts";
import { closedLoop, type Loop, loopMetrics, percentile } from "../lib/measure.ts";
import { META, message, messages, onStore, openFresh } from "../lib/store.ts";
import type { Bench, Prepared, Row, Scenario, Subject } from "../lib/types.ts";
import { startWorker, type Worker } from "../lib/workers.ts";

const rate = (row: Pick<Row, "id" | "label"> & Partial<Row>): Row => ({
  metric: "perSecond",
  unit: "commits/s",
  better: "more",
  ...row,
});

const p99 = (row: Pick<Row, "id" | "label"> & Partial<Row>): Row => ({
  metric: "p99",
  unit: "ms",
  better: "less",
  ...row,
});

/** Commits of one event, `count` in flight, each caller on a stream of its own, which is new in each round. */
async function singleCommits(
  bench: Bench,
  subject: Subject,
  count: number,
  options?: Parameters<typeof openFresh>[2],
): Promise<Prepared> {
  const { store } = await openFresh(bench, subject, options);
  let round = 0;
  return onStore(store, async () => {
    round++;
    const commit = (caller: number, n: number) => store.commit(`c-${round}-${caller}`, [message(n)], META);
    return loopMetrics(await closedLoop(count, bench.millis, commit));
  });
}

/** act-sqlite answers concurrent commits with SQLITE_BUSY: it is compared one commit at a time. */
const peersAt = (inFlight: number) => ["act-pg-0.4.6", ...(inFlight === 1 ? ["act-sqlite"] : [])];

/** What the server can append when nothing but the statement is in the way. */
const ROWS = `insert into "$schema".events (name, data, stream, version, meta)
  select 'Incremented', d, s, v, m
  from unnest($1::text[]::jsonb[], $2::text[], $3::int[], $4::text[]::jsonb[]) r(d, s, v, m) returning id`;

async function floorTable(bench: Bench): Promise<string> {
  const schema = await bench.freshSchema();
  await bench.admin.unsafe(`create schema "${schema}"`);
  await bench.admin.unsafe(`create table "${schema}".events (id bigserial primary key, name text not null,
    data jsonb not null, stream text not null, version int not null, created timestamptz default now(), meta jsonb)`);
  await bench.admin.unsafe(`create unique index on "${schema}".events (stream, version)`);
  return schema;
}

/** One connection, `group` events of as many streams per prepared INSERT: the floor of a grouped commit. */
async function groupedInsert(bench: Bench, group: number): Promise<Prepared> {
  const schema = await floorTable(bench);
  const sql = postgres(bench.url, { max: 1, fetch_types: false, onnotice: () => {} });
  const text = ROWS.replace("$schema", schema);
  const data = Array.from({ length: group }, (_, n) => JSON.stringify(message(n).data));
  const streams = Array.from({ length: group }, (_, n) => `floor-${n}`);
  const metas = Array.from({ length: group }, () => JSON.stringify(META));
  let version = 0;
  const array = (values: readonly (string | number)[]) =>
    `{${values.map((v) => JSON.stringify(String(v))).join(",")}}`;
  return {
    run: async () => {
      const loop = await closedLoop(1, bench.millis, () => {
        const versions = streams.map(() => version);
        version++;
        return sql.unsafe(text, [array(data), array(streams), array(versions), array(metas)], {
          prepare: true,
        });
      });
      return loopMetrics(loop, group);
    },
    close: () => sql.end(),
  };
}

function inFlight(
  count: number,
  goal: { rate: number; rateGoal: string; published: string; p99?: string },
): Scenario {
  return {
    name: `commit-${count}`,
    title: `Commits of one event, ${count} in flight, each on streams of its own`,
    peers: peersAt(count),
    rows: () => [
      rate({
        id: `commit-${count}`,
        label:
          count === 1 ? "commit, 1 stream, one after the other" : `commit, ${count} in flight, own streams`,
        must: { times: goal.rate },
        goal: goal.rateGoal,
        published: goal.published,
      }),
      p99({
        id: `commit-${count}-p99`,
        label: `p99 of a commit at ${count} in flight`,
        ...(goal.p99 ? { must: { times: 5 }, goal: "≤ 1⁄5", published: goal.p99 } : {}),
      }),
    ],
    prepare: (bench, subject) => singleCommits(bench, subject, count),
    floor: {
      note: `one connection, ${count} event(s) per prepared INSERT, no lock`,
      prepare: (bench) => groupedInsert(bench, count),
    },
  };
}

/** The same without prepared statements, as behind a pooler in transaction mode. act-pg never prepares any. */
function unprepared(count: number): Scenario {
  return {
    name: `unprepared-${count}`,
    title: `Commits of one event with prepare: false, ${count} in flight, each on streams of its own`,
    extra: true,
    rows: () => [
      rate({ id: `unprepared-${count}`, label: `commit, prepare: false, ${count} in flight` }),
      p99({ id: `unprepared-${count}-p99`, label: `p99 of a commit, prepare: false, ${count} in flight` }),
    ],
    prepare: (bench, subject) => singleCommits(bench, subject, count, { prepare: false }),
  };
}

function batches(count: number, times: number, goal: string, published: string): Scenario {
  return {
    name: `commit-50x${count}`,
    title: `Commits of 50 events, ${count} in flight`,
    peers: peersAt(count),
    rows: () => [
      rate({
        id: `commit-50x${count}`,
        label: `commit of 50 events, ${count === 1 ? "sequential" : `${count} in flight`}`,
        unit: "events/s",
        must: { times },
        goal,
        published,
      }),
    ],
    prepare: async (bench, subject) => {
      const { store } = await openFresh(bench, subject);
      const batch = messages(50);
      let round = 0;
      return onStore(store, async () => {
        round++;
        const commit = (caller: number) => store.commit(`c-${round}-${caller}`, batch, META);
        return loopMetrics(await closedLoop(count, bench.millis, commit), batch.length);
      });
    },
    floor: {
      note: "one connection, 50 events per prepared INSERT, no lock",
      prepare: (bench) => groupedInsert(bench, 50),
    },
  };
}

const notifying: Scenario = {
  name: "commit-notify",
  title: "Commits with notify on, 32 in flight",
  rows: () => [
    rate({
      id: "commit-notify-32",
      label: "commit with notify, 32 in flight",
      must: { times: 9 },
      goal: "≥ 9 ×",
      published: "748",
    }),
  ],
  prepare: (bench, subject) => singleCommits(bench, subject, 32, { notify: true }),
};

function processes(count: number, times: number, published: string): Scenario {
  return {
    name: `commit-${count}-processes`,
    title: `Commits of ${count} processes with 16 in flight each`,
    rows: () => [
      rate({
        id: `commit-${count}x16`,
        label: `commit, ${count} processes × 16 in flight`,
        must: { times },
        goal: `≥ ${times} ×`,
        published,
      }),
    ],
    prepare: async (bench, subject) => {
      const { store, schema } = await openFresh(bench, subject);
      await store.dispose();
      let round = 0;
      return {
        run: async () => {
          round++;
          const start = (n: number): Promise<Worker> => {
            const params: CommitParams = { inFlight: 16, millis: bench.millis, prefix: `c-${round}-${n}` };
            const target = { subject: subject.id, options: { url: bench.url, schema } };
            return startWorker({ name: "commit", target, params });
          };
          const workers = await Promise.all(Array.from({ length: count }, (_, n) => start(n)));
          try {
            const loops = await Promise.all(workers.map((worker) => worker.go<Loop>()));
            const latencies = loops.flatMap((loop) => loop.latencies);
            return {
              perSecond: loops.reduce((sum, { latencies, seconds }) => sum + latencies.length / seconds, 0),
              p50: percentile(latencies, 0.5),
              p99: percentile(latencies, 0.99),
            };
          } finally {
            await Promise.all(workers.map((worker) => worker.end()));
          }
        },
        close: async () => {},
      };
    },
  };
}

export const commitScenarios: readonly Scenario[] = [
  inFlight(1, { rate: 1.3, rateGoal: "≥ 1.3 ×", published: "663" }),
  inFlight(8, { rate: 4, rateGoal: "≥ 4 ×", published: "1,310" }),
  inFlight(32, { rate: 10, rateGoal: "≥ 10 ×", published: "956", p99: "65" }),
  inFlight(128, { rate: 13, rateGoal: "≥ 13 ×", published: "1,120", p99: "179" }),
  ...[1, 8, 32, 128].map(unprepared),
  batches(1, 1.3, "≥ 1.3 ×", "14,200"),
  batches(8, 2, "≥ 2 ×", "17,300"),
  notifying,
  processes(2, 5, "1,005"),
  processes(4, 6, "824"),
];
