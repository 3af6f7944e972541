/**
 * `node bench/checkouts.ts FOLDER [--rounds N] [--millis N] [--unprepared]`: commits of this checkout beside those of another
 * one, such as a worktree of an older commit with a link to node_modules; in turn, each in a process of its own.
 */
import "./lib/quiet.ts";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Loop, median, percentile } from "./lib/measure.ts";
import { startServer } from "./lib/server.ts";
import { openFresh } from "./lib/store.ts";
import type { Subject } from "./lib/types.ts";
import { startWorker } from "./lib/workers.ts";
import { CHECKOUT, checkout, ours } from "./subjects/index.ts";

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    millis: { type: "string", default: "3000" },
    unprepared: { type: "boolean", default: false },
  },
});
const IN_FLIGHT = [1, 8, 32, 128];
const WARM_UP_MS = 1_000;

async function measure(url: string, subject: Subject, inFlight: number): Promise<Loop> {
  const options = { url, prepare: !args.unprepared };
  const freshSchema = async () => `checkout_${Date.now()}`;
  const { store, schema } = await openFresh({ url, freshSchema }, subject, options);
  const params = { inFlight, millis: Number(args.millis), prefix: "c", warmUpMillis: WARM_UP_MS };
  const target = { subject: subject.id, options: { ...options, schema } };
  const worker = await startWorker({ name: "commit", target, params });
  const run = await worker.go<Loop>();
  await worker.end();
  await store.drop();
  await store.dispose();
  return run;
}

async function main(): Promise<void> {
  const [folder] = positionals;
  if (folder === undefined) throw new Error("Name the folder of the other checkout");
  process.env[CHECKOUT] = resolve(folder);
  const server = await startServer(() => {});
  try {
    const rows: Record<string, object> = {};
    for (const inFlight of IN_FLIGHT) {
      const found = { there: [] as Loop[], here: [] as Loop[] };
      for (let round = 0; round < Number(args.rounds); round++) {
        // Whoever comes first may find the machine in another state: they change places.
        const both = [["there", checkout] as const, ["here", ours] as const];
        for (const [name, subject] of round % 2 === 0 ? both : both.reverse())
          found[name].push(await measure(server.url, subject, inFlight));
      }
      const rates = (loops: readonly Loop[]) =>
        loops.map(({ latencies, seconds }) => latencies.length / seconds);
      const p99 = (loops: readonly Loop[]) =>
        Number(median(loops.map(({ latencies }) => percentile(latencies, 0.99))).toFixed(2));
      const [there, here] = [rates(found.there), rates(found.here)];
      rows[`${inFlight} in flight`] = {
        "there, commits/s": Math.round(median(there)),
        here: Math.round(median(here)),
        "here ÷ there": here.map((rate, n) => (rate / (there[n] ?? rate)).toFixed(2)).join(" "),
        "p99 there, ms": p99(found.there),
        "p99 here": p99(found.here),
      };
    }
    console.table(rows);
  } finally {
    await server.stop();
  }
}

await main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
