/**
 * The last checkpoint that a store has been told, by correlator; '' for the shared one. A checkpoint only grows, unless a
 * restore, an import that replaces the log, or reap() deletes it. So if the table has a lower one, the caller may have
 * read its events from the log before a restore, and its new checkpoint may be an id of that log. If it were stored, no
 * event of the restored log up to that id would ever be correlated, also after a restart.
 */
import type { Names } from "./names.ts";

/** Keyed by the store's {@link Names}: each store has an object of its own. */
const seen = new WeakMap<Names, Map<string, number>>();

/** What stands for a checkpoint whose row is not there. */
export const NO_ROW = -2;

export const checkpointSeen = (names: Names, key: string): number => seen.get(names)?.get(key) ?? NO_ROW;

export function noteCheckpoint(names: Names, key: string, at: number): void {
  const checkpoints = seen.get(names) ?? new Map<string, number>();
  seen.set(names, checkpoints.set(key, at));
}

/** This store itself deletes the checkpoints. */
export const forgetCheckpoints = (names: Names): void => void seen.delete(names);
