/** What a worker costs that has nothing to do: the price of finding work that no event announces. */
import { setTimeout as delay } from "node:timers/promises";
import type { IdleResult } from "../jobs/idle.ts";
import { fillSubscriptions } from "../lib/data.ts";
import { openFresh } from "../lib/store.ts";
import type { Scenario } from "../lib/types.ts";
import { startWorker } from "../lib/workers.ts";

const SUBSCRIPTIONS = 100_000;
/** So many times the length of a measured loop: 20 s, and 80 with --all. */
const WATCHED = 20;
/** The first settle is over, and its statistics have been reported: a session reports at most every second. */
const SETTLED_MS = 4_000;

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
      row("statements", "statements", "1/s", 0.5),
      row("cpu", "CPU of the process", "% of a core", 1),
    ],
    prepare: async (bench, subject) => {
      const { store, schema } = await openFresh(bench, subject, { notify: true });
      await store.dispose();
      await fillSubscriptions(bench.admin, schema, SUBSCRIPTIONS);
      const watched = bench.millis * WATCHED;
      const transactions = async () => {
        const [row] = await bench.admin<{ count: number }[]>`
          select (xact_commit + xact_rollback)::float8 as count from pg_stat_database where datname = current_database()`;
        return row?.count ?? Number.NaN;
      };
      return {
        run: async () => {
          const target = { subject: subject.id, options: { url: bench.url, schema, notify: true } };
          const worker = await startWorker({ name: "idle", target });
          await delay(SETTLED_MS);
          const before = await transactions();
          const run = worker.go<IdleResult>();
          await delay(watched);
          worker.stop();
          const { cpu } = await run;
          await worker.end();
          // Sessions report at the latest when they end. One of the transactions is the question before.
          const statements = (await transactions()) - before - 1;
          return { statements: statements / (watched / 1_000), cpu: (100 * cpu) / watched };
        },
        close: async () => {},
      };
    },
  },
];
