/** Loops and statistics: everything here is plain arithmetic on milliseconds. */
import { performance } from "node:perf_hooks";

export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = values.filter((v) => !Number.isNaN(v)).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export type Loop = { readonly latencies: number[]; readonly seconds: number };

/**
 * A closed loop: `inFlight` callers, each starting its next operation when its last one is done.
 * Only what ended inside the window counts, else a slow subject is credited with its overrun.
 */
export async function closedLoop(
  inFlight: number,
  millis: number,
  op: (caller: number, turn: number) => Promise<unknown>,
  warmUp = Math.min(500, millis / 3),
): Promise<Loop> {
  const latencies: number[] = [];
  const from = performance.now() + warmUp;
  const until = from + millis;
  const call = async (caller: number) => {
    for (let turn = 0; ; turn++) {
      const start = performance.now();
      if (start >= until) return;
      await op(caller, turn);
      const end = performance.now();
      if (end >= from && end <= until) latencies.push(end - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, caller) => call(caller)));
  return { latencies, seconds: millis / 1_000 };
}

/** Throughput and latency of a loop under the names that rows use. */
export function loopMetrics({ latencies, seconds }: Loop, perOperation = 1) {
  return {
    perSecond: (latencies.length * perOperation) / seconds,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
  };
}

/** Milliseconds that `op` took. */
export async function timed(op: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await op();
  return performance.now() - start;
}
