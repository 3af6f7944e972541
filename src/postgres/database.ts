/** What the verbs may ask of the database. Nothing outside this folder knows the driver. */

import { ConnectionError, guard, outcomeUnknown, storeClosed, toStoreError } from "../errors.ts";
import type { Config, ConnectionTarget, ResolvedOptions } from "../options/config.ts";
import type { Backend, Connection, Page } from "./connection.ts";
import { lessOf, msUntil } from "./deadline.ts";
import { endBackend } from "./end-backend.ts";
import type { Answer, Query, Row } from "./exchange.ts";
import type { Hosts } from "./host-selection.ts";
import { Listener, type ListenerOptions } from "./listener.ts";
import { Pool } from "./pool.ts";
import { RETRIABLE, RETRIABLE_OR_LOCKED, retrying } from "./retry.ts";
import { runSession, type SessionOptions } from "./session.ts";
import { LONGEST_MS } from "./timers.ts";
import { TransactionFailure } from "./transaction.ts";
import { useBefore } from "./use-before.ts";

/** The server's own limit comes first; a connection that stays silent past it by this much is given up. */
const GRACE = 5_000;

/** A client that vanished must not hold the append lock, and the statement that appends has one plan for all batches. */
const writerSettings = ({ idle_in_transaction_session_timeout: limit }: Config) => ({
  idle_in_transaction_session_timeout: Math.min(limit || 10_000, 10_000),
  plan_cache_mode: "force_generic_plan",
});

export type ListenerState = "off" | "listening" | "reconnecting";

/** Why a transaction failed; that it may have been committed is said where it is not looked for. */
const causeOf = (error: unknown): unknown => (error instanceof TransactionFailure ? error.cause : error);

export class Database {
  readonly config: Config;
  /** For appends: one connection, or the pool's own where there is but one for all. */
  readonly writer: Pool;
  readonly #pool: Pool;
  readonly #listenTarget: ConnectionTarget;
  #listeners = new Set<Listener>();
  #stopped = false;
  #closed = false;

  /** `facts`: what appends want to know of the database, as a select list. */
  constructor({ config, secrets, listen }: ResolvedOptions, facts = "") {
    const target = { config, secrets };
    this.config = config;
    this.#listenTarget = listen ?? target;
    const onEstablished = () => {
      for (const listener of this.#listeners) listener.reconnectSoon();
    };
    const hosts: Hosts = { first: 0, onEstablished };
    // A single connection serves both.
    const shared = config.max === 1;
    const { max, min } = config;
    if (shared) {
      this.#pool = new Pool({ ...target, facts, max, min, purpose: "all calls" }, hosts);
      this.writer = this.#pool;
      return;
    }
    const others = { max: max - 1, min: Math.max(0, min - 1), purpose: "all but commits" } as const;
    this.#pool = new Pool({ ...target, ...others }, hosts);
    const settings = writerSettings(config);
    const commits = { max: 1, min: Math.min(1, min), purpose: "commits" } as const;
    this.writer = new Pool({ ...target, facts, settings, ...commits }, hosts);
    this.writer.share(this.#pool);
  }

  /** Connections for all but commits. */
  get counts() {
    return { ...this.#pool.counts, max: this.config.max === 1 ? 1 : this.config.max - 1 };
  }

  /** The state of the listener of notify(). */
  get listenerState(): ListenerState {
    const listeners = [...this.#listeners].filter(({ stopped }) => !stopped);
    if (listeners.length === 0) return "off";
    return listeners.some(({ listening }) => listening) ? "listening" : "reconnecting";
  }

  /** Longest wait for an answer, in ms; 0 is none. */
  get deadline(): number {
    const { statement_timeout: limit, query_timeout } = this.config;
    if (query_timeout > 0) return query_timeout;
    return limit > 0 ? Math.min(limit + GRACE, LONGEST_MS) : 0;
  }

  /** A statement that only reads: runs once more when its connection turns out to be dead. */
  async read<R extends Row = Row>(operation: string, query: Query): Promise<readonly R[]> {
    return (await this.#reading(operation, (connection) =>
      connection.run(query, this.deadline),
    )) as readonly R[];
  }

  /** A read of up to `limit` rows that stops after `budget` characters of JSON. */
  readPage(operation: string, query: Query, budget: number, limit: number): Promise<Page> {
    return this.#reading(operation, (connection) => connection.read(query, this.deadline, budget, limit));
  }

  #reading<T>(operation: string, work: (connection: Connection) => Promise<T>): Promise<T> {
    return guard(operation, async () => {
      this.#assertOpen();
      try {
        return await retrying(() => this.#pool.use(work));
      } catch (error) {
        // The server, or what stands between, may close idle connections at any time.
        if (!(error instanceof ConnectionError) || error.code !== "CONNECTION_CLOSED" || this.#closed)
          throw error;
        return await retrying(() => this.#pool.use(work, true));
      }
    });
  }

  /** One statement that writes, and commits by itself. `retryOnLockTimeout`: it sets a lock_timeout for itself, and runs again then. */
  async write<R extends Row = Row>(
    operation: string,
    query: Query,
    { retryOnLockTimeout = false }: { retryOnLockTimeout?: boolean } = {},
  ): Promise<readonly R[]> {
    return (await guard(operation, async () => {
      this.#assertOpen();
      const run = () =>
        this.#pool.use(async (connection) => {
          if (connection.ownsSession) return connection.run(query, this.deadline);
          // Through a pooler no session says read committed: each transaction has to.
          return (await connection.transact([query], this.deadline))[0]?.rows ?? [];
        });
      return retrying(run, retryOnLockTimeout ? RETRIABLE_OR_LOCKED : RETRIABLE).catch((error) => {
        throw causeOf(error);
      });
    })) as readonly R[];
  }

  /** Statements of one transaction, in one message: their rows. */
  transaction(operation: string, queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return guard(operation, async () => {
      this.#assertOpen();
      try {
        return (await retrying(() => this.#transactOn(queries))).map(({ rows }) => rows);
      } catch (error) {
        throw error instanceof TransactionFailure && error.inDoubt ? outcomeUnknown() : causeOf(error);
      }
    });
  }

  #transactOn(queries: readonly Query[]): Promise<readonly Answer[]> {
    return this.#pool.use((connection) => connection.transact(queries, this.deadline));
  }

  /** A transaction with turns of the client in between, on a connection of its own. See {@link runSession}. */
  async session<T>(
    operation: string,
    work: SessionOptions<T>["work"],
    options: Pick<SessionOptions<T>, "wasCommitted"> = {},
  ): Promise<T> {
    let begun = false;
    try {
      this.#assertOpen();
      return await this.#pool.use((connection) => {
        begun = true;
        return runSession(connection, { operation, work, deadline: this.deadline, ...options });
      });
    } catch (error) {
      // What `work` throws is the caller's own; not getting a connection is ours.
      throw begun ? error : toStoreError(operation, error);
    }
  }

  /**
   * Asks what became of a transaction whose connection was lost, also while the store is being disposed of. The server
   * process that ran it is ended first, for it might still wait for a lock, and on the same connection: of several hosts
   * the one that ended it has to be the one that is asked. `end`: see deadline.ts.
   */
  async recover(
    backend: Backend | undefined,
    queries: readonly Query[],
    end = Number.POSITIVE_INFINITY,
  ): Promise<readonly (readonly Row[])[]> {
    const left = () => lessOf(this.deadline, msUntil(end));
    const ask = async (connection: Connection) => {
      if (backend) await endBackend(connection, backend, left);
      return connection.transact(queries, left());
    };
    // What took one connection may have taken all: the idle ones are not trusted.
    const answers = await retrying(() => useBefore(this.#pool, end, ask, true)).catch((error) => {
      throw causeOf(error);
    });
    return answers.map(({ rows }) => rows);
  }

  /** LISTEN on a connection of its own, which comes back by itself until it is stopped. */
  async listen(options: Omit<ListenerOptions, keyof ConnectionTarget>): Promise<Listener> {
    this.#assertOpen();
    const listener = new Listener({ ...options, ...this.#listenTarget });
    this.#listeners.add(listener);
    try {
      await listener.start();
      return listener;
    } catch (error) {
      this.#listeners.delete(listener);
      await listener.stop();
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.#stopped) throw storeClosed();
  }

  /** New work is refused from now on; listeners stop at once. */
  async stopAccepting(): Promise<void> {
    this.#stopped = true;
    const all = [...this.#listeners];
    this.#listeners.clear();
    await Promise.all(all.map((listener) => listener.stop()));
  }

  /** Lets running work end, then closes every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.stopAccepting();
    await Promise.all([this.#pool.close(), this.writer.close()]);
  }
}
