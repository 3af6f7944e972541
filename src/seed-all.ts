/** Seeds many stores, a few at a time, and reports the progress. */
import { ANY, checkOptionsOf, FUNCTION, type Rules, SIGNAL } from "./values/rules.ts";

/** How one store's seed() ended. */
export type Seeded<S> = {
  readonly store: S;
  /** Why seed() failed; undefined if the store is seeded. */
  readonly error: Error | undefined;
  /** How many stores are done, this one and failed ones included. */
  readonly done: number;
  /** How many stores there are. */
  readonly total: number;
};

/** Options of {@link seedAll}. */
export type SeedAllOptions<S> = {
  /** How many are seeded at the same time. Default 4; each needs one connection. */
  readonly parallel?: number | undefined;
  /** Called after each store. If it throws, no further store is seeded, and seedAll rejects with that error. */
  readonly onProgress?: ((seeded: Seeded<S>) => void) | undefined;
  /** Once it aborts, no further store is seeded. If stores are left then, seedAll rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
};

const RULES: Rules<SeedAllOptions<unknown>> = { parallel: ANY, onProgress: FUNCTION, signal: SIGNAL };
const PARALLEL = 4;

type Seedable = {
  /** As in PostgresStore. */
  seed(): Promise<void>;
};

/**
 * Calls `seed()` of each store. If one fails, the others are still seeded.
 *
 * @param stores Best on one PostgresDatabase: `schemas.map((schema) => new PostgresStore({ database, schema }))`.
 * @throws AggregateError with the error of each store that failed, after all others were seeded. RangeError if `parallel`
 *   is not a whole number from 1, TypeError for another wrong option.
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
