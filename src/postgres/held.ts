/**
 * Counts the connections that the running code holds: that of each session that has called it, as a restore calls its
 * driver, and that of each commit in whose inline projection it runs. If these are all connections of a pool, a call
 * that needs one of the pool would wait for itself until it times out.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { ConnectionError } from "../errors.ts";
import type { Scope } from "../options/inline.ts";

type Kind = "restore" | "projection";

/** A transaction that holds a connection of `pool`. `outer`: the transaction whose work began this one. */
type Holder = {
  readonly pool: object;
  readonly kind: Kind;
  readonly outer: Holder | undefined;
  open: boolean;
};

/** One instance for all stores, because Node 22 never frees one. */
const current = new AsyncLocalStorage<Holder>();

/** What `run` calls belongs to a transaction that holds a connection of the pool, until `end()`. */
export function hold(pool: object, kind: Kind): Scope {
  const holder: Holder = { pool, kind, outer: current.getStore(), open: true };
  return {
    run: (work) => current.run(holder, work),
    // Calls that the work started and did not await may still run. The connection is free now, so they may wait for one.
    end: () => {
      holder.open = false;
    },
  };
}

/** Both at once. */
export const within = (outer: Scope, inner: Scope): Scope => ({
  run: (work) => outer.run(() => inner.run(work)),
  end: () => {
    inner.end();
    outer.end();
  },
});

/**
 * Runs the work of a session, which holds a connection of the pool. It may call the user's code: the driver of a
 * restore, the source or onProgress of an import. A move calls its onProgress in the caller's context.
 */
export async function holding<T>(pool: object, work: () => Promise<T>): Promise<T> {
  const { run, end } = hold(pool, "restore");
  try {
    return await run(work);
  } finally {
    end();
  }
}

/**
 * Refuses a call that would wait for itself: the driver of a restore, the source of an import, or an inline projection
 * makes the call while its transaction holds all `max` connections of the pool.
 *
 * @throws ConnectionError
 */
export function assertFree(operation: string, pool: object, max: number): void {
  const kinds = new Set<Kind>();
  let held = 0;
  for (let one = current.getStore(); one; one = one.outer) {
    if (!one.open || one.pool !== pool) continue;
    kinds.add(one.kind);
    held++;
  }
  if (held < max) return;
  const [code, caller] = kinds.has("projection")
    ? (["IN_PROJECTION", "an inline projection"] as const)
    : (["IN_RESTORE", "the driver of a restore, or by a function that an import calls"] as const);
  const text = `${operation} was called by ${caller}, which holds every connection that the call could use`;
  throw new ConnectionError(code, text, false);
}
