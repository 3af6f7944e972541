/**
 * Which connections the running code holds: those of the transactions in whose driver or source it was called. A call that
 * needs one of a pool whose connections are all held so would wait for itself, until its time is up.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** `outer`: the transaction in whose work this one was begun. */
type Holder = { readonly pool: object; readonly outer: Holder | undefined; open: boolean };

/** One instance for all stores, because Node 22 never frees one. */
const current = new AsyncLocalStorage<Holder>();

/** Runs the work of a transaction that holds a connection of the pool. */
export async function holding<T>(pool: object, work: () => Promise<T>): Promise<T> {
  const holder: Holder = { pool, outer: current.getStore(), open: true };
  try {
    return await current.run(holder, work);
  } finally {
    // What it has started and not waited for may run on, and waits for nobody.
    holder.open = false;
  }
}

/** How many connections of the pool the caller holds. */
export function heldOf(pool: object): number {
  let count = 0;
  for (let one = current.getStore(); one; one = one.outer) if (one.open && one.pool === pool) count++;
  return count;
}
