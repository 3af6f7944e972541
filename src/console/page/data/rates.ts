/** What the overview's plots show: a sample per push of the server, kept while the page is open. */
import { useSyncExternalStore } from "react";
import type { EventView, Overview } from "../../api.ts";

export type Sample = {
  /** s since the epoch. */
  readonly at: number;
  readonly perSecond: number | null;
  readonly lagMs: number | null;
};

/** Half an hour of a sample every 2 s. */
const KEPT = 900;
const BUCKET_S = 2;

const samples = new Map<string, readonly Sample[]>();
/** Stores for which the time before the page was opened has already been filled in. */
const seeded = new Set<string>();
const listeners = new Set<() => void>();
const NONE: readonly Sample[] = [];

function put(store: string, next: readonly Sample[]): void {
  samples.set(store, next.slice(-KEPT));
  for (const listener of listeners) listener();
}

export function addSample(store: string, overview: Overview): void {
  const lagMs = overview.oldestLagMs ?? 0;
  const at = Date.parse(overview.at) / 1_000;
  put(store, [...samplesOf(store), { at, perSecond: overview.rate.now.perSecond, lagMs }]);
}

/**
 * Adds the minutes before the first pushed sample, counted from the newest events: as far back as these reach, and 5
 * minutes before `now` at most.
 */
export function seedSamples(
  store: string,
  newest: readonly EventView[],
  complete: boolean,
  now: number,
): void {
  // An event dated `infinity` has no second.
  const seconds = newest.map(({ created }) => Date.parse(created) / 1_000).filter(Number.isFinite);
  const reach = complete ? 0 : (seconds.at(-1) ?? now);
  const from = Math.max(now - 300, reach);
  const counts = new Map<number, number>();
  for (const second of seconds) {
    const bucket = Math.floor((now - second) / BUCKET_S);
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  }
  const pushed = samplesOf(store);
  const end = pushed[0]?.at ?? Number.POSITIVE_INFINITY;
  const past: Sample[] = [];
  for (let bucket = Math.floor((now - from) / BUCKET_S) - 1; bucket >= 0; bucket--) {
    const at = now - bucket * BUCKET_S;
    if (at < end) past.push({ at, perSecond: (counts.get(bucket) ?? 0) / BUCKET_S, lagMs: null });
  }
  seeded.add(store);
  put(store, [...past, ...pushed]);
}

export const isSeeded = (store: string): boolean => seeded.has(store);

export const samplesOf = (store: string): readonly Sample[] => samples.get(store) ?? NONE;

export function useSamples(store: string): readonly Sample[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => samplesOf(store),
  );
}
