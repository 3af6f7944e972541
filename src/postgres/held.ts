/**
 * Counts the connections that the running code holds. A session holds one while it calls code of the user, as a restore calls
 * its driver. A commit holds one while its inline projections run. If these are all connections of a pool, a call
 * that needs one of the pool would wait for itself until it times out.
 *
 * It also knows for which logs the running projections wait. A projection holds the append lock of its log, so two of them that
 * commit to each other's logs would wait until one times out. The server sees no deadlock: each lock is held by a session that
 * waits for its client, and not for a lock.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { ConnectionError } from "../errors.ts";
import type { Scope } from "../options/inline.ts";

type Kind = "restore" | "projection";

/** A call that waits for the append lock of `log`, and, if it is a commit, for one of the `max` connections of `pool`. */
export type Wait = { readonly log: string; readonly pool?: object; readonly max?: number };

/**
 * A transaction that holds a connection of `pool`. `outer`: the transaction whose work began this one. Only a
 * projection has `log`, the log whose append lock it holds, and `waits`, its calls that have not ended.
 */
type Holder = {
  readonly pool: object;
  readonly kind: Kind;
  readonly log: string | undefined;
  readonly outer: Holder | undefined;
  readonly waits: Set<Wait>;
  open: boolean;
};

/** The running projections of this process. */
const projections = new Set<Holder>();

/** One instance for all stores, because Node 22 never frees one. */
const current = new AsyncLocalStorage<Holder>();

/** What `run` calls belongs to a transaction that holds a connection of the pool, until `end()`. `log`: only for a projection. */
export function hold(pool: object, kind: Kind, log?: string): Scope {
  const holder: Holder = { pool, kind, log, outer: current.getStore(), waits: new Set(), open: true };
  if (kind === "projection") projections.add(holder);
  return {
    run: (work) => current.run(holder, work),
    // Calls that the work started and did not await may still run. The connection is free now, so they may wait for one.
    end: () => {
      holder.open = false;
      projections.delete(holder);
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

/**
 * Begins a call that waits for commits of a log, and returns what ends it. If an inline projection makes the call, the
 * projection counts as waiting for it, even if its code does not await it.
 *
 * @throws ConnectionError if the projection would wait for itself, by way of other projections.
 */
export function beginWait(operation: string, wait: Wait): () => void {
  if (projections.size === 0) return noWait;
  const own = new Set<Holder>();
  for (let one = current.getStore(); one; one = one.outer) if (projections.has(one)) own.add(one);
  // The innermost one. Those around it wait for the commit that it projects.
  const [caller] = own;
  if (!caller) return noWait;
  if (isCircular(own, wait) || isWithoutConnection(caller, wait))
    throw new ConnectionError(
      "IN_PROJECTION",
      `${operation} was called by an inline projection, and would wait for another inline projection that waits for this one`,
      false,
    );
  caller.waits.add(wait);
  return () => void caller.waits.delete(wait);
}

/** Ends the wait of a call that no projection makes. */
export const noWait = () => {};

/** Whether the log's append lock is held by one of `own`, or by a projection that waits for one of them. */
function isCircular(own: ReadonlySet<Holder>, { log }: Wait): boolean {
  const logs = new Set([log]);
  for (const waitedFor of logs)
    for (const holder of projections) {
      if (holder.log !== waitedFor) continue;
      if (own.has(holder)) return true;
      for (const next of holder.waits) logs.add(next.log);
    }
  return false;
}

/** Whether projections hold all connections of the pool, and each of them then waits for one. */
function isWithoutConnection(caller: Holder, { pool, max = 1 }: Wait): boolean {
  if (!pool) return false;
  let waiting = 0;
  for (const holder of projections)
    if (holder.pool === pool && (holder === caller || [...holder.waits].some((wait) => wait.pool === pool)))
      waiting++;
  return waiting >= max;
}
