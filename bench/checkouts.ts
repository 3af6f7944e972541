/**
 * `node bench/checkouts.ts FOLDER [--rounds N] [--millis N] [--in-flight 1,8,32,128] [--unprepared]`: commits of this
 * checkout beside those of another one, such as a worktree of an older commit with a link to node_modules; in turn, each in
 * a process of its own. The CPU time per commit, of the server and of the process, varies least when the machine is busy.
 */
import "./lib/quiet.ts";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Loop, median, percentile } from "./lib/measure.ts";
import { type Server, startServer } from "./lib/server.ts";
import { openFresh } from "./lib/store.ts";
import type { Subject } from "./lib/types.ts";
import { cpuOf, serverCpu } from "./lib/usage.ts";
import { startWorker } from "./lib/workers.ts";
import { CHECKOUT, checkout, ours } from "./subjects/index.ts";

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    millis: { type: "string", default: "3000" },
    "in-flight": { type: "string", default: "1,8,32,128" },
    unprepared: { type: "boolean", default: false },
  },
});
const WARM_UP_MS = 1_000;

/** `server` and `process`: ms of CPU per commit. */
type Run = Loop & { readonly server: number; readonly process: number };

async function measure({ url, postmaster }: Server, subject: Subject, inFlight: number): Promise<Run> {
  const options = { url, prepare: !args.unprepared };
  const freshSchema = async () => `checkout_${Date.now()}`;
  const { store, schema } = await openFresh({ url, freshSchema }, subject, options);
  const params = { inFlight, millis: Number(args.millis), prefix: "c", warmUpMillis: WARM_UP_MS };
  const target = { subject: subject.id, options: { ...options, schema } };
  const worker = await startWorker({ name: "commit", target, params });
  const before = { server: serverCpu(postmaster), process: cpuOf(worker.pid) };
  const run = await worker.go<Loop>();
  // The times include those of the warm-up, so its commits count, too.
  const commits = (run.latencies.length * (params.millis + WARM_UP_MS)) / params.millis;
  const cpu = {
    server: (serverCpu(postmaster) - before.server) / commits,
    process: (cpuOf(worker.pid) - before.process) / commits,
  };
  await worker.end();
  await store.drop();
  await store.dispose();
  return { ...run, ...cpu };
}

async function main(): Promise<void> {
  const [folder] = positionals;
  if (folder === undefined) throw new Error("Name the folder of the other checkout");
  process.env[CHECKOUT] = resolve(folder);
  const server = await startServer(() => {});
  try {
    const rows: Record<string, object> = {};
    for (const inFlight of args["in-flight"].split(",").map(Number)) {
      const found = { there: [] as Run[], here: [] as Run[] };
      for (let round = 0; round < Number(args.rounds); round++) {
        // Whoever comes first may find the machine in another state: they change places.
        const both = [["there", checkout] as const, ["here", ours] as const];
        for (const [name, subject] of round % 2 === 0 ? both : both.reverse())
          found[name].push(await measure(server, subject, inFlight));
      }
      const rates = (loops: readonly Loop[]) =>
        loops.map(({ latencies, seconds }) => latencies.length / seconds);
      const p99 = (loops: readonly Loop[]) =>
        Number(median(loops.map(({ latencies }) => percentile(latencies, 0.99))).toFixed(2));
      const cpu = (of: "server" | "process") =>
        [found.there, found.here].map((runs) => median(runs.map((run) => run[of])).toFixed(3)).join(" → ");
      const [there, here] = [rates(found.there), rates(found.here)];
      rows[`${inFlight} in flight`] = {
        "there, commits/s": Math.round(median(there)),
        here: Math.round(median(here)),
        "here ÷ there": here.map((rate, n) => (rate / (there[n] ?? rate)).toFixed(2)).join(" "),
        "p99 there, ms": p99(found.there),
        "p99 here": p99(found.here),
        "ms of server": cpu("server"),
        "of process": cpu("process"),
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
