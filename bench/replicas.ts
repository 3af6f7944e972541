/**
 * `node bench/replicas.ts [--rounds N] [--millis N]`: loads of streams from the primary, from one standby, and from two, and
 * the same beside a writer; alternately. Needs Debian's PostgreSQL. Results: docs/guides/replicas.md.
 */
import "./lib/quiet.ts";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { dispose } from "@rotorsoft/act";
import type { PostgresStore } from "../src/index.ts";
import { admitted, Cluster, readsOf } from "../test/replicas/cluster.ts";
import { fillEvents, streamName } from "./lib/data.ts";
import { closedLoop, median, percentile } from "./lib/measure.ts";
import { META, message } from "./lib/store.ts";

const { values: args } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    millis: { type: "string", default: "3000" },
    inflight: { type: "string", default: "32" },
  },
});
const STREAMS = 2_000;
const IN_FLIGHT = Number(args.inflight);

async function main(): Promise<void> {
  const cluster = new Cluster();
  // A signal ends the process by way of the framework, which calls this first.
  dispose(() => cluster.stop());
  const figures = new Map<string, { perSecond: number[]; p99: number[]; share: number[] }>();
  try {
    await cluster.start();
    const { other } = await cluster.pair();
    const { schema } = other.config;
    await cluster.primary.ask((sql) => fillEvents(sql, { schema, streams: STREAMS, perStream: 10 }));
    await cluster.replayed();
    const subjects: Record<string, PostgresStore> = {
      "no replicas": cluster.open({ schema, replicas: [] }),
      "one replica": cluster.open({ schema, replicas: cluster.urls.slice(0, 1) }),
      "two replicas": cluster.open({ schema }),
    };
    for (const [name, store] of Object.entries(subjects)) if (name !== "no replicas") await admitted(store);
    const measure = async (row: string, store: PostgresStore, writing: PostgresStore | undefined) => {
      let over = false;
      const writer = (async () => {
        for (let turn = 0; writing && !over; turn++) await writing.commit("live", [message(turn)], META);
      })();
      const before = await readsOf(store);
      let loads = 0;
      const { latencies, seconds } = await closedLoop(IN_FLIGHT, Number(args.millis), () => {
        loads++;
        const stream = streamName(Math.floor(Math.random() * STREAMS));
        return store.query(() => {}, { stream, stream_exact: true, with_snaps: true });
      });
      over = true;
      await writer;
      const found = figures.get(row) ?? { perSecond: [], p99: [], share: [] };
      found.perSecond.push(latencies.length / seconds);
      found.p99.push(percentile(latencies, 0.99));
      found.share.push(((await readsOf(store)) - before) / loads);
      figures.set(row, found);
    };
    for (let round = 0; round < Number(args.rounds); round++)
      for (const [name, store] of Object.entries(subjects)) {
        await measure(`${name}`, store, undefined);
        await measure(`${name}, another process commits`, store, other);
        await measure(`${name}, this process commits`, store, store);
      }
  } finally {
    await cluster.stop();
  }
  console.log(`${cpus().length} cores for client, primary and standbys`);
  console.table(
    Object.fromEntries(
      [...figures].map(([row, { perSecond, p99, share }]) => [
        row,
        {
          "loads/s": Math.round(median(perSecond)),
          "p99 (ms)": Number(median(p99).toFixed(1)),
          "answered by replicas": `${Math.round(median(share) * 100)} %`,
        },
      ]),
    ),
  );
}

await main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
