/** From an event to its reaction: backlogs, latencies, notifications. */
import { sharedNow } from "../jobs/listen.ts";
import { ACTOR, buildApp } from "../lib/app.ts";
import { fillEvents, fillSubscriptions } from "../lib/data.ts";
import { closedLoop, loopMetrics, percentile } from "../lib/measure.ts";
import { META, message, openFresh } from "../lib/store.ts";
import type { Row, Scenario } from "../lib/types.ts";
import { startWorker } from "../lib/workers.ts";

const BACKLOG = { streams: 1_000, perStream: 10 };
const EVENTS = BACKLOG.streams * BACKLOG.perStream;
const DRAIN_TIMEOUT_MS = 120_000;

function drain(processes: number, times: number, published: string): Scenario {
  const name = `drain-${processes}`;
  return {
    name,
    title: `10,000 events over 1,000 streams through act(), settle() defaults, ${processes} process(es)`,
    rows: () => [
      {
        id: name,
        label: `drain of 10,000 events over 1,000 streams, ${processes} process${processes > 1 ? "es" : ""}`,
        metric: "perSecond",
        unit: "events/s",
        better: "more",
        must: { times },
        goal: `≥ ${times} ×`,
        published,
      },
    ],
    prepare: async (bench, subject) => ({
      run: async () => {
        const { store, schema } = await openFresh(bench, subject);
        await store.dispose();
        await fillEvents(bench.admin, { schema, ...BACKLOG });
        let handled = 0;
        const all = Promise.withResolvers<void>();
        const onNote = (note: unknown) => {
          handled += Number(note);
          if (handled >= EVENTS) all.resolve();
        };
        const target = { subject: subject.id, options: { url: bench.url, schema } };
        const workers = await Promise.all(
          Array.from({ length: processes }, () => startWorker({ name: "drain", target }, onNote)),
        );
        const late = setTimeout(
          () => all.reject(new Error(`Only ${handled} of ${EVENTS} events after two minutes`)),
          DRAIN_TIMEOUT_MS,
        );
        try {
          const start = performance.now();
          const runs = workers.map((worker) => worker.go());
          await Promise.race([all.promise, Promise.all(runs)]);
          const seconds = (performance.now() - start) / 1_000;
          for (const worker of workers) worker.stop();
          await Promise.all(runs);
          return { perSecond: EVENTS / seconds };
        } finally {
          clearTimeout(late);
          await Promise.all(workers.map((worker) => worker.end()));
          await bench.admin.unsafe(`drop schema "${schema}" cascade`);
        }
      },
      close: async () => {},
    }),
  };
}

/** do() on streams of their own, each waiting for its reaction, in a store with so many subscriptions. */
function reaction(subscriptions: number): Scenario {
  const populated = subscriptions > 0;
  const name = populated ? "reaction" : "reaction-empty";
  const where = populated ? `${subscriptions.toLocaleString("en-US")} subscriptions` : "an empty store";
  const row = (metric: string, published: string): Row => ({
    id: `${name}-${metric}`,
    label: `do() → reaction done, 8 in flight, ${where}, ${metric}`,
    metric,
    unit: "ms",
    better: "less",
    // In an empty store most of the time is the debounce of settle(), which no store can shorten.
    ...(populated ? { must: { times: 3 }, goal: "≤ ⅓", published } : {}),
  });
  return {
    name,
    title: "From the call of do() to the end of its reaction, 8 in flight, one process",
    rows: () => [row("p50", "288"), row("p99", "862")],
    prepare: async (bench, subject) => {
      const { store, schema } = await openFresh(bench, subject);
      if (populated) await fillSubscriptions(bench.admin, schema, subscriptions);
      const waiting = new Map<string, () => void>();
      const app = buildApp(store, ({ stream, version }) => waiting.get(`${stream}#${version}`)?.());
      app.on("committed", () => app.settle());
      let round = 0;
      return {
        run: async () => {
          round++;
          const once = async (caller: number, turn: number) => {
            const stream = `d-${round}-${caller}`;
            const reacted = new Promise<void>((resolve) => waiting.set(`${stream}#${turn}`, resolve));
            await app.do("increment", { stream, actor: ACTOR }, message(turn).data);
            await reacted;
            waiting.delete(`${stream}#${turn}`);
          };
          return loopMetrics(await closedLoop(8, bench.millis * 2, once));
        },
        close: async () => {
          await app.shutdown();
          await store.dispose();
        },
      };
    },
  };
}

const PACE_MS = 5;

function notified(inFlight: number, times: number, goal: string, published: string): Scenario {
  const paced = inFlight === 1;
  const name = paced ? "notify-paced" : `notify-${inFlight}`;
  return {
    name,
    title: "From the call of commit() to the handler in another process",
    rows: () => [
      {
        id: name,
        label: `commit call → handler in another process, ${paced ? "paced" : `${inFlight} in flight`}, p50`,
        metric: "p50",
        unit: "ms",
        better: "less",
        must: { times },
        goal,
        published,
      },
    ],
    prepare: async (bench, subject) => {
      const { store, schema } = await openFresh(bench, subject, { notify: true });
      const arrivals = new Map<number, number>();
      const target = { subject: subject.id, options: { url: bench.url, schema, notify: true } };
      const listener = await startWorker({ name: "listen", target }, (note) => {
        const [id, arrived] = note as [number, number];
        arrivals.set(id, arrived);
      });
      let round = 0;
      return {
        run: async () => {
          round++;
          const calls = new Map<number, number>();
          await closedLoop(inFlight, bench.millis, async (caller, turn) => {
            const called = sharedNow();
            const [event] = await store.commit(`n-${round}-${caller}`, [message(turn)], META);
            if (event) calls.set(event.id, called);
            if (paced) await new Promise((resolve) => setTimeout(resolve, PACE_MS));
          });
          // What is still under way arrives within this; hints that never come are not counted.
          await new Promise((resolve) => setTimeout(resolve, 300));
          const latencies = [...calls].flatMap(([id, called]) => {
            const arrived = arrivals.get(id);
            return arrived === undefined ? [] : [arrived - called];
          });
          if (latencies.length < calls.size / 2)
            throw new Error(`Only ${latencies.length} of ${calls.size} commits were notified`);
          arrivals.clear();
          return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
        },
        close: async () => {
          await listener.end();
          await store.dispose();
        },
      };
    },
  };
}

export const reactionScenarios: readonly Scenario[] = [
  drain(1, 2, "3,311"),
  drain(4, 3, "3,111"),
  reaction(100_000),
  reaction(0),
  notified(1, 1.5, "≤ ⅔", "2.2"),
  notified(16, 4, "≤ ¼", "20"),
];
