/** Seeds many stores, some at a time, and reports how far it is. */
import { ANY, checkOptionsOf, FUNCTION, type Rules, SIGNAL } from "./values/rules.ts";

/** How one store's seed() ended. */
export type Seeded<S> = {
  readonly store: S;
  /** Undefined: it is seeded. */
  readonly error: Error | undefined;
  /** How many are done, this one included, and how many there are. */
  readonly done: number;
  readonly total: number;
};

/** Options of {@link seedAll}. */
export type SeedAllOptions<S> = {
  /** How many are seeded at the same time. Default 4; each needs one connection. */
  readonly parallel?: number | undefined;
  /** Called after each store. What it throws ends the rest. */
  readonly onProgress?: ((seeded: Seeded<S>) => void) | undefined;
  /** Begins with no further store once it aborts; rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
};

const RULES: Rules<SeedAllOptions<unknown>> = { parallel: ANY, onProgress: FUNCTION, signal: SIGNAL };
const PARALLEL = 4;

type Seedable = {
  /** As in PostgresStore. */
  seed(): Promise<void>;
};

/**
 * Calls `seed()` of each store. One that fails does not keep the others from being seeded.
 *
 * @param stores As `schemas.map((schema) => new PostgresStore({ database, schema }))`: a store opens no connection of its own.
 * @throws AggregateError with the error of each store that failed, after all others were seeded. RangeError if `parallel`
 *   is no number from 1, TypeError for another wrong option.
 * @example await seedAll(stores, { parallel: 8, onProgress: ({ done, total }) => console.log(`${done} of ${total}`) });
 */
export async function seedAll<S extends Seedable>(
  stores: Iterable<S>,
  options: SeedAllOptions<S> = {},
): Promise<void> {
  checkOptionsOf("seedAll", options, RULES);
  const { parallel = PARALLEL, onProgress, signal } = options;
  if (!Number.isInteger(parallel) || parallel < 1)
    throw new RangeError("act-drizzle: seedAll: parallel: a whole number from 1");
  const all = [...stores];
  const total = all.length;
  const failures: Error[] = [];
  let done = 0;
  let ended = false;
  const next = all.values();
  const work = async () => {
    for (const store of next) {
      signal?.throwIfAborted();
      if (ended) return;
      const error = await store.seed().then(
        () => undefined,
        (reason: unknown) => (reason instanceof Error ? reason : new Error(String(reason))),
      );
      if (error) failures.push(error);
      done++;
      await onProgress?.({ store, error, done, total });
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(parallel, total) }, work));
  } finally {
    ended = true;
  }
  if (failures.length > 0)
    throw new AggregateError(
      failures,
      `act-drizzle: ${failures.length} of ${total} stores could not be seeded`,
    );
}
