/** The slowest of the first hundred: what a process that has just started makes its users wait. */
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { sharedNow } from "../jobs/listen.ts";
import { bundle } from "../lib/bundled.ts";
import { percentile } from "../lib/measure.ts";
import { META, message, openFresh } from "../lib/store.ts";
import type { Row, Scenario } from "../lib/types.ts";
import { startWorker } from "../lib/workers.ts";

const COMMITS = 100;
/** What is under way at the end arrives within this. */
const LAST_MS = 500;

type Tail = {
  readonly name: string;
  readonly title: string;
  readonly label: string;
  /** The job that notes `[event id, arrival]`. */
  readonly job: "listen" | "remote";
  readonly paceMs: number;
};

/** A hundred paced commits of a store that was seeded just now, and when the other process had each. */
function tail({ name, title, label, job, paceMs }: Tail): Scenario {
  const row = (metric: string): Row => ({
    id: `${name}-${metric}`,
    label: `${label}, ${metric === "p99" ? "the slowest of the first 100" : metric}`,
    metric,
    unit: "ms",
    better: "less",
    ...(metric === "p99" ? { must: { times: 1 }, goal: "≤ the peer's" } : {}),
  });
  return {
    name,
    title,
    rows: () => [row("p50"), row("p99")],
    prepare: async (bench, subject) => {
      // As users run it. What TypeScript's types cost when they are stripped at the start (27 ms of CPU time) is nobody's wait.
      const script = await bundle("worker.ts");
      return {
        run: async () => {
          const { store, schema } = await openFresh(bench, subject, { notify: true });
          const arrivals = new Map<number, number>();
          const target = { subject: subject.id, options: { url: bench.url, schema, notify: true } };
          const worker = await startWorker(
            { name: job, target },
            (note) => {
              const [id, arrived] = note as [number, number];
              arrivals.set(id, arrived);
            },
            script,
          );
          const running = worker.go();
          running.catch(() => {});
          const calls = new Map<number, number>();
          for (let turn = 0; turn < COMMITS; turn++) {
            const called = sharedNow();
            const [event] = await store.commit(`t-${turn % 10}`, [message(turn)], META);
            if (event) calls.set(event.id, called);
            await sleep(paceMs);
          }
          await sleep(LAST_MS);
          const latencies = [...calls].flatMap(([id, called]) => {
            const arrived = arrivals.get(id);
            return arrived === undefined ? [] : [arrived - called];
          });
          await worker.end();
          await store.dispose();
          if (latencies.length < COMMITS * 0.9)
            throw new Error(`Only ${latencies.length} of ${COMMITS} commits arrived`);
          return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
        },
        close: () => rm(script, { force: true }),
      };
    },
  };
}

export const tailScenarios: readonly Scenario[] = [
  tail({
    name: "first-notified",
    title: "From the call of commit() to the handler in another process, paced, first commits of a process",
    label: "commit call → handler in another process",
    job: "listen",
    paceMs: 5,
  }),
  tail({
    name: "first-reaction",
    title:
      "From the call of commit() to the reaction in another process, 100 commits/s, first ones of a process",
    label: "commit call → reaction in another process at 100 commits/s",
    job: "remote",
    paceMs: 10,
  }),
];
