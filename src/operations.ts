/**
 * The verbs that are running. Once the store is disposed of new ones are refused, and those that were called before
 * are carried out, whatever they wait for: the key of the pii, the next page, a statement that runs again after a
 * deadlock. Otherwise a commit that was called in time would fail because its key provider was slow.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { storeClosed, toStoreError } from "./errors.ts";

/** `caller`: the verb in whose callback, driver or key provider this one was called. */
type Operation = { readonly caller: Operation | undefined };

/** Tells which verb a call comes from. One for all stores: on Node 22 each instance is kept for ever. */
const current = new AsyncLocalStorage<Operation>();

/** The verb that is running here, the one that called it, and so on. */
function callers(): Operation[] {
  const found: Operation[] = [];
  for (let one = current.getStore(); one; one = one.caller) found.push(one);
  return found;
}

export class Operations {
  readonly #running = new Set<Operation>();
  #closed = false;
  #idle = () => {};

  /** Runs a verb. After close() it rejects, but for what a verb that still runs calls itself. */
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

  /** The same for a verb in which no code of the caller's runs, so that none of its calls can come from there. */
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

  /** The verbs that this is called from are not waited for: they may wait for the caller themselves. */
  leave(): void {
    for (const caller of callers()) this.#leave(caller);
  }

  /** Refuses new verbs, and resolves once the running ones have ended, or after `limit` ms. */
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
