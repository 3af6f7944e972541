/**
 * Counts the connections that the running code holds: one for each transaction whose driver or source the code belongs to.
 * If these are all connections of a pool, a call that needs one of the pool would wait for itself until it times out.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** A transaction that holds a connection of `pool`. `outer`: the transaction whose work began this one. */
type Holder = { readonly pool: object; readonly outer: Holder | undefined; open: boolean };

/** One instance for all stores, because Node 22 never frees one. */
const current = new AsyncLocalStorage<Holder>();

/** Runs the work of a transaction that holds a connection of the pool. */
export async function holding<T>(pool: object, work: () => Promise<T>): Promise<T> {
  const holder: Holder = { pool, outer: current.getStore(), open: true };
  try {
    return await current.run(holder, work);
  } finally {
    // Calls that `work` started and did not await may still run. The connection is free now, so they may wait for one.
    holder.open = false;
  }
}

/** How many connections of the pool the caller holds. */
export function heldOf(pool: object): number {
  let count = 0;
  for (let one = current.getStore(); one; one = one.outer) if (one.open && one.pool === pool) count++;
  return count;
}
