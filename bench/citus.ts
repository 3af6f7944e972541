/**
 * `node bench/citus.ts [--rounds N] [--millis N]`: commits in a schema that Citus keeps on a worker, beside the same in a
 * schema that stays on the coordinator; alternately. `TEST_CITUS_URL` names the coordinator's database, as for the tests.
 * Results: ADR 0023.
 */
import "./lib/quiet.ts";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { PostgresStore } from "../src/index.ts";
import { citusUrl, dropSchema, schemaName, tenantUrl } from "../test/citus/cluster.ts";
import { closedLoop, median, percentile } from "./lib/measure.ts";
import { META, message } from "./lib/store.ts";

const { values: args } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    millis: { type: "string", default: "3000" },
    inflight: { type: "string", default: "32" },
  },
});
const IN_FLIGHT = [1, Number(args.inflight)];

async function main(): Promise<void> {
  const open = (url: string) => new PostgresStore({ url, schema: schemaName() });
  const subjects = { "on the coordinator": open(citusUrl()), "on a worker": open(tenantUrl()) };
  const figures = new Map<string, { perSecond: number[]; p50: number[]; p99: number[] }>();
  try {
    for (const store of Object.values(subjects)) await store.seed();
    for (let round = 0; round < Number(args.rounds); round++)
      for (const inFlight of IN_FLIGHT)
        for (const [name, store] of Object.entries(subjects)) {
          const { latencies, seconds } = await closedLoop(inFlight, Number(args.millis), (caller, turn) =>
            store.commit(`s-${round}-${inFlight}-${caller}`, [message(turn)], META),
          );
          const row = `${inFlight} in flight, ${name}`;
          const found = figures.get(row) ?? { perSecond: [], p50: [], p99: [] };
          found.perSecond.push(latencies.length / seconds);
          found.p50.push(percentile(latencies, 0.5));
          found.p99.push(percentile(latencies, 0.99));
          figures.set(row, found);
        }
  } finally {
    for (const store of Object.values(subjects)) {
      await store.dispose();
      await dropSchema(store.config.schema);
    }
  }
  const load = Math.round(loadavg()[0] ?? 0);
  console.log(
    `${cpus().length} cores for client, coordinator and workers if they share a machine; load ${load}`,
  );
  console.table(
    Object.fromEntries(
      [...figures].map(([row, { perSecond, p50, p99 }]) => [
        row,
        {
          "commits/s": Math.round(median(perSecond)),
          "of the rounds": `${Math.round(Math.min(...perSecond))} to ${Math.round(Math.max(...perSecond))}`,
          "p50 (ms)": Number(median(p50).toFixed(1)),
          "p99 (ms)": Number(median(p99).toFixed(1)),
        },
      ]),
    ),
  );
}

await main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
