/**
 * Keeps track of the running verbs, so that dispose() can let them end.
 *
 * States: open → closing (new verbs are refused, running ones are carried out) → idle (no verb is running).
 *
 * A verb that was called before dispose() is carried out, whatever it waits for: the key of the pii, the next page, a
 * statement that is retried after a deadlock. Otherwise a commit that was called in time would fail because its key
 * provider was slow.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { storeClosed, toStoreError } from "./errors.ts";

/** A running verb. `caller`: the verb in whose callback, driver or key provider this one was called. */
type Operation = { readonly caller: Operation | undefined };

/** Tells which verb a call comes from. One instance for all stores, because Node 22 never frees one. */
const current = new AsyncLocalStorage<Operation>();

/** The verb whose code is running now, the verb in which that was called, and so on. */
function callers(): Operation[] {
  const found: Operation[] = [];
  for (let one = current.getStore(); one; one = one.caller) found.push(one);
  return found;
}

export class Operations {
  readonly #running = new Set<Operation>();
  #closed = false;
  #idle = () => {};

  /** Runs a verb. After close() it rejects, unless a verb that is still running makes the call. */
  async run<T>(verb: string, work: () => Promise<T>): Promise<T> {
    this.assertOpen(verb);
    const operation: Operation = { caller: current.getStore() };
    this.#running.add(operation);
    try {
      return await current.run(operation, work);
    } finally {
      this.#leave(operation);
    }
  }

  /** The same for a verb that runs no code of its caller, so that no other call can come from within it. */
  async runAlone<T>(verb: string, work: () => Promise<T>): Promise<T> {
    this.assertOpen(verb);
    const operation: Operation = { caller: undefined };
    this.#running.add(operation);
    try {
      return await work();
    } finally {
      this.#leave(operation);
    }
  }

  /** @throws StoreError after close(). */
  assertOpen(verb: string): void {
    if (this.#closed && !callers().some((caller) => this.#running.has(caller)))
      throw toStoreError(verb, storeClosed());
  }

  /** No longer waits for the verbs that this is called from: they may be waiting for dispose() themselves. */
  leave(): void {
    for (const caller of callers()) this.#leave(caller);
  }

  /** Refuses new verbs. Resolves once the running ones have ended, or after `limit` ms. */
  async close(limit: number): Promise<void> {
    this.#closed = true;
    if (this.#running.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limit);
      this.#idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #leave(operation: Operation): void {
    if (this.#running.delete(operation) && this.#running.size === 0) this.#idle();
  }
}
