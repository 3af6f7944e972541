/** What `act-drizzle bench` measures: closed loops on a store of its own, each for a bounded time. */
import { setTimeout } from "node:timers/promises";
import { PostgresStore } from "../index.ts";
import type { PostgresStoreOptions } from "../options/options.generated.ts";

export type Loop = { readonly perSecond: number; readonly p50Ms: number; readonly p99Ms: number };
export type Measured = {
  readonly commits: readonly (Loop & { readonly inFlight: number })[];
  readonly claimAck: Loop;
  readonly notify: Omit<Loop, "perSecond"> & { readonly events: number };
};

export type MeasureOptions = {
  readonly store: PostgresStoreOptions;
  /** Duration of each measurement. */
  readonly seconds: number;
  /** Ends the running measurement and skips the others. */
  readonly signal: AbortSignal;
  readonly onStep: (name: string) => void;
};

const META = { correlation: "bench", causation: {} };
const IN_FLIGHT = [1, 8, 32];
const SUBSCRIPTIONS = 100;
/** A mark that no watermark of a benchmark reaches. */
const FAR = 1_000_000_000;
/** ms after which a notification counts as lost. */
const NOTIFY_LIMIT_MS = 5_000;

const message = (n: number) => ({ name: "Measured", data: { amount: n % 100, note: `event number ${n}` } });

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

const round = (value: number): number => Math.round(value * 100) / 100;
const summary = (latencies: readonly number[]) => ({
  p50Ms: round(percentile(latencies, 0.5)),
  p99Ms: round(percentile(latencies, 0.99)),
});

/** `inFlight` callers, each of which calls again when its last call is done. The first fifth of the time is warm-up. */
async function loop(
  { seconds, signal }: MeasureOptions,
  inFlight: number,
  call: (caller: number, n: number) => Promise<unknown>,
): Promise<Loop> {
  const latencies: number[] = [];
  const from = performance.now() + seconds * 200;
  const until = from + seconds * 800;
  const caller = async (id: number) => {
    for (let n = 0; ; n++) {
      const start = performance.now();
      if (start >= until || signal.aborted) return;
      await call(id, n);
      const end = performance.now();
      if (end >= from && end <= until) latencies.push(end - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, id) => caller(id)));
  return { perSecond: round((latencies.length * 1_000) / (until - from)), ...summary(latencies) };
}

/** The time from a commit's call to the handler of a listener in another session. */
async function notifyLatency(options: MeasureOptions, store: PostgresStore) {
  const listener = new PostgresStore({ ...options.store, notify: true, max: 2 });
  const latencies: number[] = [];
  let notified = Promise.withResolvers<void>();
  try {
    await listener.notify?.(({ stream }) => {
      if (stream === "notified") notified.resolve();
    });
    const until = performance.now() + options.seconds * 1_000;
    while (performance.now() < until && !options.signal.aborted) {
      notified = Promise.withResolvers();
      const start = performance.now();
      await store.commit("notified", [message(latencies.length)], META);
      const late = setTimeout(NOTIFY_LIMIT_MS, true, { ref: false });
      if (await Promise.race([notified.promise, late])) break;
      latencies.push(performance.now() - start);
    }
  } finally {
    await listener.dispose();
  }
  return { events: latencies.length, ...summary(latencies) };
}

export async function measure(store: PostgresStore, options: MeasureOptions): Promise<Measured> {
  const commits: (Loop & { inFlight: number })[] = [];
  for (const inFlight of IN_FLIGHT) {
    options.onStep(`commits, ${inFlight} in flight`);
    const commit = (caller: number, n: number) =>
      store.commit(`commit-${inFlight}-${caller}`, [message(n)], META);
    commits.push({ inFlight, ...(await loop(options, inFlight, commit)) });
  }
  options.onStep("claim and ack");
  await store.subscribe(
    Array.from({ length: SUBSCRIPTIONS }, (_, n) => ({ stream: `target-${n}`, correlated_at: FAR })),
  );
  const claimAck = await loop(options, 1, async () => {
    const leases = await store.claim(10, 0, "bench", 60_000);
    await store.ack(leases.map((lease) => ({ ...lease, at: lease.at + 1 })));
  });
  options.onStep("notifications");
  return { commits, claimAck, notify: await notifyLatency(options, store) };
}
