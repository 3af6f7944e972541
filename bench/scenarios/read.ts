/** Reading: loads of one stream, fetches by prefix, scans of the whole log. */
import type { Query, Store } from "@rotorsoft/act";
import postgres from "postgres";
import type { ScanParams, ScanResult } from "../jobs/scan.ts";
import { fillEvents, streamName, tidy } from "../lib/data.ts";
import { closedLoop, loopMetrics, timed } from "../lib/measure.ts";
import { META, message, onStore, openFresh, richMessages, seeded } from "../lib/store.ts";
import type { Bench, Prepared, Row, Scenario, Subject } from "../lib/types.ts";
import { startWorker } from "../lib/workers.ts";
import { baseline } from "../subjects/index.ts";

const STREAMS = 20;

/** Streams `a-` of 100 events, `k-` of 1,000, and `n-` of 1,101 with a snapshot at version 1,000. */
const loadable = (bench: Bench, subject: Subject) =>
  seeded(bench, subject, "loads", async (schema) => {
    const common = { schema, streams: STREAMS, rich: true };
    await fillEvents(bench.admin, { ...common, perStream: 100, prefix: "a-" });
    await fillEvents(bench.admin, { ...common, perStream: 1_000, prefix: "k-" });
    await fillEvents(bench.admin, { ...common, perStream: 1_101, prefix: "n-" });
    await bench.admin.unsafe(
      `update "${schema}".events set name = '__snapshot__' where version = 1000 and stream like 'n-%'`,
    );
    await tidy(bench.admin, `"${schema}".events`);
  });

/** What SQL of ours can't fill, its own commits do. */
async function filledByCommits(bench: Bench, subject: Subject, prefix: string, events: number) {
  const { store } = await openFresh(bench, subject);
  for (let n = 0; n < STREAMS; n++)
    for (let from = 0; from < events; from += 100)
      await store.commit(streamName(n, prefix), richMessages(Math.min(100, events - from)), META);
  return store;
}

/** As load() asks: one stream, exactly, from its latest snapshot. */
const loadQuery = (prefix: string, turn: number): Query => ({
  stream: streamName(turn % STREAMS, prefix),
  stream_exact: true,
  with_snaps: true,
});

async function expectEvents(store: Store, query: Query, expected: number): Promise<void> {
  const found = await store.query(() => {}, query);
  if (found !== expected) throw new Error(`Expected ${expected} events of ${query.stream}, got ${found}`);
}

type LoadCase = {
  readonly name: string;
  readonly label: string;
  readonly prefix: string;
  readonly events: number;
  readonly times: number;
  readonly goal: string;
  readonly published: string;
  readonly peers?: readonly string[];
  readonly floor?: boolean;
  readonly commitsInFlight?: number;
};

async function rawSelect(bench: Bench, prefix: string): Promise<Prepared> {
  const schema = await loadable(bench, baseline);
  const sql = postgres(bench.url, { max: 1, fetch_types: false });
  const text = `select id, name, data, stream, version, created, meta from "${schema}".events where stream = $1 order by id`;
  return {
    run: async () => {
      const read = (_: number, turn: number) =>
        sql.unsafe(text, [streamName(turn % STREAMS, prefix)], { prepare: true });
      return loopMetrics(await closedLoop(1, bench.millis, read));
    },
    close: () => sql.end(),
  };
}

function load({ name, label, prefix, events, times, goal, published, ...rest }: LoadCase): Scenario {
  return {
    name,
    title: `Time of a ${label}`,
    peers: rest.peers,
    rows: () => [
      { id: name, label, metric: "p50", unit: "ms", better: "less", must: { times }, goal, published },
    ],
    prepare: async (bench, subject) => {
      const store = subject.sql
        ? await subject.open({ url: bench.url, schema: await loadable(bench, subject) })
        : await filledByCommits(bench, subject, prefix, events);
      await expectEvents(store, loadQuery(prefix, 0), events);
      const read = (_: number, turn: number) => store.query(() => {}, loadQuery(prefix, turn));
      let round = 0;
      return onStore(store, async () => {
        const writers = rest.commitsInFlight ?? 0;
        if (writers === 0) return loopMetrics(await closedLoop(1, bench.millis, read));
        round++;
        const write = (caller: number, turn: number) =>
          store.commit(`w-${round}-${caller}`, [message(turn)], META);
        const [loads] = await Promise.all([
          closedLoop(1, bench.millis, read),
          closedLoop(writers, bench.millis, write),
        ]);
        return loopMetrics(loads);
      });
    },
    floor: rest.floor
      ? {
          note: "one prepared SELECT, rows parsed by the driver",
          prepare: (bench) => rawSelect(bench, prefix),
        }
      : undefined,
  };
}

export const LOG_EVENTS = 500_000;
export const LOG_STREAMS = 10_000;

/** 10,000 streams of 50 events each, interleaved: shared by prefix, scan and stats. */
export const bigLog = (bench: Bench, subject: Subject) =>
  seeded(bench, subject, "log", (schema) =>
    fillEvents(bench.admin, { schema, streams: LOG_STREAMS, perStream: LOG_EVENTS / LOG_STREAMS }),
  );

const prefix: Scenario = {
  name: "fetch-prefix",
  title: "A drain's fetch for a subscription whose source is a ^prefix pattern, 500,000 events",
  rows: () => [
    {
      id: "fetch-prefix",
      label: "fetch by `^prefix` source, 500,000 events",
      metric: "p50",
      unit: "ms",
      better: "less",
      must: { times: 20 },
      goal: "≤ 1⁄20",
      published: "63",
    },
  ],
  prepare: async (bench, subject) => {
    const schema = await bigLog(bench, subject);
    const store = await subject.open({ url: bench.url, schema });
    const query = (turn: number): Query => ({
      stream: `^${streamName((turn * 7_919) % LOG_STREAMS)}`,
      after: -1,
      limit: 10,
    });
    await expectEvents(store, query(1), 10);
    return onStore(store, async () => {
      const fetch = (_: number, turn: number) => store.query(() => {}, query(turn));
      return loopMetrics(await closedLoop(1, bench.millis, fetch));
    });
  },
};

function scan(page: number | undefined): Scenario {
  const name = page ? "scan-paged" : "scan-unlimited";
  const rate: Row = {
    id: name,
    label: `scan of 500,000 events, ${page ? `paged by ${page}` : "unlimited"}`,
    metric: "perSecond",
    unit: "events/s",
    better: "more",
    must: { times: 1.5 },
    goal: "≥ 1.5 ×",
    published: page ? "52,000" : "62,000",
  };
  const memory: Row = {
    id: `${name}-rss`,
    label: `${rate.label}: peak RSS of the process`,
    metric: "rss",
    unit: "MiB",
    better: "less",
    ...(page ? {} : { must: { atMost: 150 }, goal: "≤ 150 MB", published: "531" }),
  };
  const added: Row = {
    id: `${name}-growth`,
    label: "memory that the scan adds to the process",
    metric: "growth",
    unit: "MiB",
    better: "less",
  };
  const startUp: Row = {
    id: `${name}-start-rss`,
    label: "peak RSS of loading the modules and connecting, before the scan",
    metric: "startRss",
    unit: "MiB",
    better: "less",
  };
  return {
    name,
    title: `Reading a log of 500,000 events, ${page ? `in pages of ${page}` : "in one query"}, in a process of its own`,
    rows: () => (page ? [rate, memory] : [rate, memory, added, startUp]),
    prepare: async (bench, subject) => {
      const schema = await bigLog(bench, subject);
      const params: ScanParams = { page };
      const target = { subject: subject.id, options: { url: bench.url, schema } };
      return {
        run: async () => {
          const worker = await startWorker({ name: "scan", target, params });
          try {
            const { perSecond, rss, startRss, growth, events } = await worker.go<ScanResult>();
            if (events !== LOG_EVENTS) throw new Error(`The scan saw ${events} of ${LOG_EVENTS} events`);
            return { perSecond, rss, startRss, growth };
          } finally {
            await worker.end();
          }
        },
        close: async () => {},
      };
    },
    floor: page
      ? undefined
      : {
          note: "COPY of the table to this process",
          prepare: async (bench) => {
            const schema = await bigLog(bench, baseline);
            const sql = postgres(bench.url, { max: 1, fetch_types: false });
            return {
              run: async () => {
                const millis = await timed(async () => {
                  const copy = await sql.unsafe(`copy "${schema}".events to stdout`).readable();
                  for await (const _ of copy);
                });
                return { perSecond: (1_000 * LOG_EVENTS) / millis };
              },
              close: () => sql.end(),
            };
          },
        },
  };
}

const PEERS = ["act-pg-0.4.6", "act-sqlite"];

export const readScenarios: readonly Scenario[] = [
  load({
    name: "load-100",
    label: "load of 100 events, one stream",
    prefix: "a-",
    events: 100,
    times: 2,
    goal: "≤ ½",
    published: "2.3",
    peers: PEERS,
    floor: true,
  }),
  load({
    name: "load-1000",
    label: "load of 1,000 events, one stream",
    prefix: "k-",
    events: 1_000,
    times: 2,
    goal: "≤ ½",
    published: "19",
    peers: PEERS,
    floor: true,
  }),
  load({
    name: "load-snapshot",
    label: "load from a snapshot (100 after it)",
    prefix: "n-",
    events: 101,
    times: 2,
    goal: "≤ ½",
    published: "4.5",
  }),
  load({
    name: "load-busy",
    label: "load of 100 while 64 commits are in flight",
    prefix: "a-",
    events: 100,
    times: 4,
    goal: "≤ ¼",
    published: "43",
    commitsInFlight: 64,
  }),
  prefix,
  scan(500),
  scan(undefined),
];
