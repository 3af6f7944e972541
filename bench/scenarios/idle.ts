/** What a worker costs that has nothing to do: the price of finding work that no event announces. */
import { setTimeout as delay } from "node:timers/promises";
import type { IdleResult } from "../jobs/idle.ts";
import { fillSubscriptions } from "../lib/data.ts";
import { latencyProxy } from "../lib/latency-proxy.ts";
import { openFresh } from "../lib/store.ts";
import type { Scenario } from "../lib/types.ts";
import { startWorker } from "../lib/workers.ts";

const SUBSCRIPTIONS = 100_000;
/** So many times the length of a measured loop: 20 s, and 80 with --all. */
const WATCHED = 20;
/** What a start leaves to do is done. */
const SETTLED_MS = 1_000;

const row = (metric: string, label: string, unit: string, atMost: number) => ({
  id: `idle-${metric}`,
  label: `idle worker that listens, 100,000 subscriptions, ${label}`,
  metric,
  unit,
  better: "less" as const,
  must: { atMost },
  goal: `≤ ${atMost}`,
});

export const idleScenarios: readonly Scenario[] = [
  {
    name: "idle",
    title: "A process with a reaction and a listener, and nothing to do",
    rows: () => [
      row("trips", "round trips to the server", "1/s", 0.5),
      row("cpu", "CPU of the process", "% of a core", 1),
    ],
    prepare: async (bench, subject) => {
      const { store, schema } = await openFresh(bench, subject, { notify: true });
      await store.dispose();
      await fillSubscriptions(bench.admin, schema, SUBSCRIPTIONS);
      const watched = bench.millis * WATCHED;
      return {
        run: async () => {
          const proxy = await latencyProxy(bench.url, 0);
          const target = { subject: subject.id, options: { url: proxy.url, schema, notify: true } };
          const worker = await startWorker({ name: "idle", target });
          try {
            await delay(SETTLED_MS);
            proxy.take();
            const run = worker.go<IdleResult>();
            await delay(watched);
            const trips = proxy.take();
            worker.stop();
            const { cpu } = await run;
            return { trips: trips / (watched / 1_000), cpu: (100 * cpu) / watched };
          } finally {
            await worker.end();
            await proxy.close();
          }
        },
        close: async () => {},
      };
    },
  },
];
