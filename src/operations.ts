/**
 * Keeps track of the running verbs, so that dispose() can let them end.
 *
 * States: open → closing (new verbs are refused, running ones are carried out) → idle (no verb is running).
 *
 * A verb that was called before dispose() is carried out, even if it still waits for a pii key, for the next page, or for
 * a retry after a deadlock. Otherwise a commit that was called in time would fail because its key provider was slow.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { ConnectionError, storeClosed, toStoreError } from "./errors.ts";
import type { Scope } from "./options/inline.ts";
import { beginWait, noWait } from "./postgres/index.ts";

/** A running verb. `caller`: the verb in whose callback, driver or key provider this one was called. */
type Operation = { readonly verb: string; readonly caller: Operation | undefined };

/** Verbs that never wait for a lock of a restore. They still need a connection. */
const READING = new Set(["query", "query_stats", "query_streams"]);

/** Verbs that hold the append lock, and a connection, while they call the user's code. */
const EXCLUSIVE = new Map([
  ["restore", "the driver of a restore"],
  ["import", "the source of an import"],
]);

/** An inline projection holds the append lock while it runs. These verbs wait for that lock, or for all commits. */
const WAITING_FOR_COMMITS = new Set(["commit", "truncate", "restore", "import", "drop", "dispose"]);
const PROJECTION = "inline projection";

/** Tells which verb a call comes from. One instance for all stores, because Node 22 never frees one. */
const current = new AsyncLocalStorage<Operation>();

/** The verb whose code runs now, the verb whose callback called it, and so on. */
function callers(): Operation[] {
  const found: Operation[] = [];
  for (let one = current.getStore(); one; one = one.caller) found.push(one);
  return found;
}

export class Operations {
  /** Maximum number of connections of the store. */
  readonly #max: number;
  readonly #log: string;
  readonly #running = new Set<Operation>();
  #closed = false;
  #idle = () => {};

  /** `log`: names the log among all logs that the process uses. */
  constructor(max = Number.POSITIVE_INFINITY, log = "") {
    this.#max = max;
    this.#log = log;
  }

  /** Runs a verb. After close() it rejects, unless a verb that is still running makes the call. */
  async run<T>(verb: string, work: () => Promise<T>): Promise<T> {
    this.assertMayRun(verb);
    const end = this.#beginWait(verb);
    const operation: Operation = { verb, caller: current.getStore() };
    this.#running.add(operation);
    try {
      return await current.run(operation, work);
    } finally {
      end();
      this.#leave(operation);
    }
  }

  /** @throws StoreError if an inline projection calls the verb, which would wait for another one that waits for this one. */
  #beginWait(verb: string): () => void {
    // A commit is checked where it is queued.
    if (verb === "commit" || !WAITING_FOR_COMMITS.has(verb)) return noWait;
    try {
      return beginWait(verb, { log: this.#log });
    } catch (error) {
      throw toStoreError(verb, error);
    }
  }

  /**
   * The checks of {@link run}, for a commit that calls no code of the user. It is not tracked here: dispose() waits for the
   * queue of commits as well.
   */
  assertMayRun(verb: string): void {
    this.assertOpen(verb);
    this.assertCanEnd(verb);
  }

  /** @throws StoreError after close(). */
  assertOpen(verb: string): void {
    if (this.#closed && !callers().some((caller) => this.#running.has(caller)))
      throw toStoreError(verb, storeClosed());
  }

  /**
   * Refuses calls that would never end: the driver of a restore, the source of an import, or an inline projection waits for
   * the verb that it calls, and the verb would wait for the append lock, the row locks, or the connection of its caller.
   *
   * @throws StoreError if a running call of this store calls the verb, and the verb would wait for it.
   */
  assertCanEnd(verb: string): void {
    const running = callers().filter((one) => this.#running.has(one));
    const outer = running.find((one) => EXCLUSIVE.has(one.verb));
    // One connection is for commits and the restore holds another, so a read needs a third.
    if (outer && !(READING.has(verb) && this.#max >= 3)) {
      const caller = EXCLUSIVE.get(outer.verb);
      const text = READING.has(verb)
        ? `${verb} was called by ${caller}, which holds the only connection that the call could use`
        : `${verb} was called by ${caller}, and would wait for that ${outer.verb}`;
      throw toStoreError(verb, new ConnectionError("IN_RESTORE", text, false));
    }
    // The commit that is being projected has one connection, so with `max: 1` no other verb could get one.
    const projecting = running.some((one) => one.verb === PROJECTION);
    if (projecting && (WAITING_FOR_COMMITS.has(verb) || this.#max < 2))
      throw toStoreError(
        verb,
        new ConnectionError(
          "IN_PROJECTION",
          `${verb} was called by an inline projection, and would wait for the commit that it projects`,
          false,
        ),
      );
  }

  /**
   * Begins an inline projection; called in the async context of its commit. Until `end()`, a verb that is called within
   * `run` counts as called by the projection.
   */
  projecting(): Scope {
    const operation: Operation = { verb: PROJECTION, caller: current.getStore() };
    this.#running.add(operation);
    return {
      run: (work) => current.run(operation, work),
      end: () => this.#leave(operation),
    };
  }

  /** Stops waiting for the verbs from whose callbacks this is called: they may be waiting for dispose() themselves. */
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
