/**
 * What a store reports to an observer (act-drizzle/telemetry). Without one, a signal costs a check for undefined.
 */

export type Batch = {
  readonly commits: number;
  readonly events: number;
  /** How long its first commit had waited, in ms. */
  readonly waitedMs: number;
  /** From sending to the answer, including the wait for the append lock, in ms. */
  readonly millis: number;
  /** For each commit, the value that {@link Observer.queued} returned. */
  readonly queued: readonly unknown[];
  readonly failed: boolean;
};

export type InDoubtOutcomes = { readonly stored: number; readonly absent: number; readonly unknown: number };

/** None of the methods may throw. */
export type Observer = {
  /** A commit waits for its batch. The batch carries the value that this returns. */
  queued(): unknown;
  batch(batch: Batch): void;
  /** A recovery has ended: how many of the commits in doubt the log has, lacks, or leaves unknown. */
  inDoubt(outcomes: InDoubtOutcomes): void;
  listenerReconnected(): void;
};

export type Signals = {
  observer: Observer | undefined;
  /** Commits that wait for a batch. */
  commitsWaiting: () => number;
};

export const noSignals = (): Signals => ({ observer: undefined, commitsWaiting: () => 0 });
