/** The operations that the verbs use: read, write, transaction, session, listen. Nothing outside this folder knows the driver. */

import { ConnectionError, guard, outcomeUnknown, storeClosed, toStoreError } from "../errors.ts";
import type { Config, ConnectionTarget, ResolvedOptions } from "../options/config.ts";
import type { Scope } from "../options/inline.ts";
import type { Backend, Connection, Page } from "./connection.ts";
import { lessOf, msUntil } from "./deadline.ts";
import { endBackend } from "./end-backend.ts";
import type { Answer, Query, Row } from "./exchange.ts";
import { assertFree, beginWait, hold, holding, noWait, within } from "./held.ts";
import type { HostState } from "./host-selection.ts";
import { type ChannelListener, type ChannelOptions, Listener } from "./listener.ts";
import { DatabaseLog } from "./log.ts";
import { Pool } from "./pool.ts";
import { Replica } from "./replica.ts";
import { ReplicaReads, type ReplicaTexts } from "./replica-reads.ts";
import { RETRIABLE, RETRIABLE_OR_LOCKED, retrying } from "./retry.ts";
import type { Needed, Seen } from "./seen.ts";
import { runSession, type SessionOptions } from "./session.ts";
import { writerSettings } from "./session-settings.ts";
import { PoolShare, type Share, SharedFacts, type SharedPools, type StorePool } from "./shared-pools.ts";
import { afterPoll, LONGEST_MS } from "./timers.ts";
import { causeOf, TransactionFailure } from "./transaction.ts";
import { useBefore } from "./use-before.ts";

/** ms after statement_timeout, which the server applies, until a connection that has not answered is closed. */
const GRACE = 5_000;

export type ListenerState = "off" | "listening" | "reconnecting";

/** One store's connections: its own pools, or its share of the pools of several stores. */
export class StoreConnections {
  readonly config: Config;
  /**
   * The pool for appends: of one connection, or this store's share of the `writers` connections that stores share. With
   * `max: 1` it is the same pool as the one for everything else.
   */
  readonly writer: StorePool;
  /** Facts about the store's tables, if the store shares its connections. Otherwise each connection reads them itself. */
  readonly sharedFacts: SharedFacts | undefined;
  /** Logs slow statements and lost connections. */
  readonly log: DatabaseLog;
  /** Only with the option `replicas`. */
  readonly replicas: ReplicaReads | undefined;
  readonly #ownReplicas: readonly Replica[] = [];
  readonly #pool: StorePool;
  /** How many connections there are for all but commits. */
  readonly #max: number;
  readonly #shared: SharedPools | undefined;
  readonly #listenTarget: ConnectionTarget;
  #listeners = new Set<ChannelListener>();
  /** Aborts at the end of close(): from then on a session whose work sends nothing is ended. */
  readonly #end = new AbortController();
  #stopped = false;
  #closed = false;

  /**
   * `facts`: a select list of the facts about the database that appends need. `shared`: the database whose connections the
   * store shares. `texts`: the statements for replicas, if the store reads them.
   */
  constructor(
    { config, secrets, listen, replicas }: ResolvedOptions,
    facts = "",
    shared?: Share,
    texts?: ReplicaTexts,
  ) {
    const target = { config, secrets };
    this.config = config;
    this.log = new DatabaseLog(config);
    this.#listenTarget = listen ?? target;
    this.#shared = shared?.pools;
    if (texts && replicas.length > 0) {
      const { max } = config;
      if (!shared) this.#ownReplicas = replicas.map((replica) => new Replica(replica, { max }));
      const primary = (query: Query) => this.read("replicas", query);
      const read = shared ? shared.pools.replicas : this.#ownReplicas;
      this.replicas = new ReplicaReads(read, texts, config.replicaLagMillis, primary);
    }
    if (shared) {
      const { pool, writer, readers } = shared.pools;
      this.#pool = new PoolShare(pool);
      this.writer = new PoolShare(writer);
      this.sharedFacts = shared.facts && new SharedFacts(shared.facts);
      this.#max = readers;
      return;
    }
    const onLost = (error: Error | undefined) => this.log.lost(error);
    const onEstablished = () => {
      this.log.opened();
      for (const listener of this.#listeners) listener.reconnectSoon();
    };
    const hosts: HostState = { first: 0, onEstablished, onLost };
    // With one connection for all there is only one pool.
    const { max, min } = config;
    this.#max = Math.max(1, max - 1);
    if (max === 1) {
      this.#pool = new Pool({ ...target, facts, max, min, purpose: "all calls" }, hosts);
      this.writer = this.#pool;
      return;
    }
    const others = { max: this.#max, min: Math.max(0, min - 1), purpose: "all but commits" } as const;
    const settings = writerSettings(config);
    const commits = { max: 1, min: Math.min(1, min), purpose: "commits" } as const;
    const writer = new Pool({ ...target, facts, settings, ...commits }, hosts);
    const pool = new Pool({ ...target, ...others }, hosts);
    writer.share(pool);
    this.writer = writer;
    this.#pool = pool;
  }

  /** Connections for all but commits. */
  get counts() {
    return { ...this.#pool.counts, max: this.#max };
  }

  /** Whether other stores may use the same connections. */
  get isShared(): boolean {
    return this.#shared !== undefined;
  }

  /** Whether code that holds a connection of this store, and waits for one of `other`, would wait for itself. */
  hasOnlyConnectionOf(other: StoreConnections): boolean {
    return this.#shared !== undefined && this.#shared === other.#shared && this.#max === 1;
  }

  /**
   * Runs a commit to `log`. It is refused if its caller holds all the connections that it could use, or if it would wait for
   * its caller in another way.
   */
  committing<T>(log: string, work: () => Promise<T>): Promise<T> {
    const { writer: pool, writers: max } = this.#shared ?? { writer: this.writer, writers: 1 };
    assertFree("commit", pool, max);
    const end = beginWait("commit", { log, pool, max });
    return end === noWait ? work() : work().finally(end);
  }

  /**
   * The scope of a running inline handler: its code counts as the holder of its commit's connection, and of the append lock of
   * `log`. `own` is the scope by which operations.ts checks calls to the same store.
   */
  projecting(log: string, own: Scope): Scope {
    return within(hold(this.#shared?.writer ?? this.writer, "projection", log), own);
  }

  /** The pool for sessions and for all calls but commits, as {@link assertFree} knows it: stores may share it. */
  get #poolOfCalls(): object {
    return this.#shared?.pool ?? this.#pool;
  }

  /** The state of the listener of notify(). */
  get listenerState(): ListenerState {
    const listeners = [...this.#listeners].filter(({ stopped }) => !stopped);
    if (listeners.length === 0) return "off";
    return listeners.some(({ listening }) => listening) ? "listening" : "reconnecting";
  }

  /** Longest wait for an answer, in ms; 0 is no limit. */
  get deadline(): number {
    const { statement_timeout: limit, query_timeout } = this.config;
    if (query_timeout > 0) return query_timeout;
    return limit > 0 ? Math.min(limit + GRACE, LONGEST_MS) : 0;
  }

  /** Runs a statement that only reads. If its connection turns out to be dead, it runs once more on a new one. */
  async read<R extends Row = Row>(operation: string, query: Query): Promise<readonly R[]> {
    return (await this.#reading(operation, (connection) =>
      connection.run(query, this.deadline),
    )) as readonly R[];
  }

  /** Like {@link read}, after a statement that changes settings for the query. One message has both. */
  async readWith(operation: string, settings: Query, query: Query): Promise<readonly Row[]> {
    const [, answer] = await this.#reading(operation, (connection) =>
      connection.transact([settings, query], this.deadline).catch((error: unknown) => {
        // The transaction only reads, so its outcome is never in doubt.
        throw causeOf(error);
      }),
    );
    return answer?.rows ?? [];
  }

  /**
   * Reads up to `limit` rows, and stops after `budget` characters of JSON (bytes on replicas and shared connections).
   * A replica answers if it has everything that this process has seen, and the event `seen`.
   */
  readPage(
    operation: string,
    query: Query,
    { budget, limit, seen }: { budget: number; limit: number; seen?: number | undefined },
  ): Promise<Page> {
    const onPrimary = () =>
      this.#reading(operation, (connection) => connection.read(query, this.deadline, budget, limit));
    if (!this.replicas) return onPrimary();
    const at = seen === undefined ? undefined : { event: seen };
    return this.#onReplica(
      operation,
      (replicas) => replicas.page(query, this.deadline, { budget, limit, at }),
      onPrimary,
    );
  }

  /** Like {@link read}, but a replica answers if it has everything that this process has seen, and `at`. */
  readSeen(operation: string, query: Query, at?: Partial<Needed>): Promise<readonly Row[]> {
    return this.#onReplica(
      operation,
      (replicas) => replicas.rows(query, this.deadline, at),
      () => this.read(operation, query),
    );
  }

  async #onReplica<T>(
    operation: string,
    work: (replicas: ReplicaReads) => Promise<T | undefined>,
    onPrimary: () => Promise<T>,
  ): Promise<T> {
    const { replicas } = this;
    if (!replicas) return onPrimary();
    const found = await guard(operation, async () => {
      this.#assertOpen();
      return this.log.watch(operation, performance.now(), () => work(replicas));
    });
    return found ?? onPrimary();
  }

  /** What this process has seen of the log; undefined without replicas. */
  get seen(): Seen | undefined {
    return this.replicas?.seen;
  }

  #reading<T>(operation: string, work: (connection: Connection) => Promise<T>): Promise<T> {
    return guard(operation, async () => {
      this.#assertOpen();
      try {
        return await retrying(() => this.#use(operation, work));
      } catch (error) {
        // The server, a pooler or a firewall may close idle connections unexpectedly.
        if (!(error instanceof ConnectionError) || error.code !== "CONNECTION_CLOSED" || this.#closed)
          throw error;
        return await retrying(() => this.#use(operation, work, true));
      }
    });
  }

  /** Runs a statement on a connection of the pool, and logs it if it is slow. */
  #use<T>(operation: string, work: (connection: Connection) => Promise<T>, fresh = false): Promise<T> {
    assertFree(operation, this.#poolOfCalls, this.#max);
    const since = performance.now();
    return this.#pool.use((connection) => this.log.watch(operation, since, () => work(connection)), fresh);
  }

  /** Runs one statement that writes and commits by itself. `retryOnLockTimeout`: run it again after its own lock_timeout. */
  async write<R extends Row = Row>(
    operation: string,
    query: Query,
    { retryOnLockTimeout = false }: { retryOnLockTimeout?: boolean } = {},
  ): Promise<readonly R[]> {
    return (await guard(operation, async () => {
      this.#assertOpen();
      const run = () =>
        this.#use(operation, async (connection) => {
          if (connection.ownsSession) return connection.run(query, this.deadline);
          // Through a pooler the session has no default isolation level of ours, so each transaction names it.
          return (await connection.transact([query], this.deadline))[0]?.rows ?? [];
        });
      return retrying(run, retryOnLockTimeout ? RETRIABLE_OR_LOCKED : RETRIABLE).catch((error) => {
        throw causeOf(error);
      });
    })) as readonly R[];
  }

  /** Runs one statement that writes, and stops waiting for it at `end`: see deadline.ts. It is not retried. */
  async writeBefore(query: Query, end: number): Promise<void> {
    await useBefore(this.#pool, end, async (connection) => {
      const deadline = lessOf(this.deadline, msUntil(end));
      if (connection.ownsSession) await connection.run(query, deadline);
      else await connection.transact([query], deadline);
    });
  }

  /** Runs the statements of one transaction in one message, and returns the rows of each. */
  transaction(operation: string, queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return guard(operation, async () => {
      this.#assertOpen();
      try {
        return (await retrying(() => this.#transactOn(operation, queries))).map(({ rows }) => rows);
      } catch (error) {
        throw error instanceof TransactionFailure && error.inDoubt ? outcomeUnknown() : causeOf(error);
      } finally {
        this.seen?.changed();
      }
    });
  }

  #transactOn(operation: string, queries: readonly Query[]): Promise<readonly Answer[]> {
    return this.#use(operation, (connection) => connection.transact(queries, this.deadline));
  }

  /** An interactive transaction, statement by statement, on a connection of its own. See {@link runSession}. */
  async session<T>(
    operation: string,
    work: SessionOptions<T>["work"],
    options: Pick<SessionOptions<T>, "wasCommitted"> = {},
  ): Promise<T> {
    let begun = false;
    try {
      this.#assertOpen();
      const pool = this.#poolOfCalls;
      assertFree(operation, pool, this.#max);
      return await this.#pool.use((connection) => {
        begun = true;
        return runSession(connection, {
          operation,
          work: (run) => holding(pool, () => work(run)),
          deadline: this.deadline,
          end: this.#end.signal,
          watch: (step) => this.log.watch(operation, performance.now(), step),
          ...options,
        });
      });
    } catch (error) {
      // An error of `work` is the caller's and passes unchanged. An earlier error is a failure of the store.
      throw begun ? error : toStoreError(operation, error);
    } finally {
      this.seen?.changed();
    }
  }

  /**
   * Asks for the outcome of a transaction whose connection was lost. Works while the store is being disposed of.
   *
   * First it ends the server process that ran the transaction, because the process may still wait for a lock. Then it asks
   * on the same connection: with several hosts, both steps have to go to the same server. `end`: see deadline.ts.
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
    // The cause of one lost connection may have broken all, so an idle one is not reused.
    const answers = await retrying(() => useBefore(this.#pool, end, ask, true)).catch((error) => {
      throw causeOf(error);
    });
    return answers.map(({ rows }) => rows);
  }

  /**
   * Runs `work` on a connection whose settings it may change, and which it must destroy. For a single store that is the
   * connection for commits: a new one, or the one in use as soon as it is free. Stores that share connections use one
   * that is not for commits.
   */
  useAlone<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#shared ? this.#pool.use(work) : this.writer.use(work, true);
  }

  /**
   * LISTEN on a connection of the store's own, or on that of stores that share connections. The listener reconnects until
   * stopped.
   */
  async listen(options: ChannelOptions): Promise<ChannelListener> {
    this.#assertOpen();
    for (const one of this.#listeners) if (one.stopped) this.#listeners.delete(one);
    const listener =
      this.#shared?.listener.member(options) ?? new Listener({ ...options, ...this.#listenTarget });
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

  /** Refuses new work from now on, and stops the listeners at once. */
  async stopAccepting(): Promise<void> {
    this.#stopped = true;
    const all = [...this.#listeners];
    this.#listeners.clear();
    await Promise.all(all.map((listener) => listener.stop()));
  }

  /** Lets work end, then closes connections that are not shared. After `end`, sessions that send nothing are ended. */
  async close(end = Number.POSITIVE_INFINITY): Promise<void> {
    this.#closed = true;
    await this.stopAccepting();
    const cancel = afterPoll(msUntil(end), () => this.#end.abort());
    await Promise.all([this.#pool, this.writer, ...this.#ownReplicas].map((owned) => owned.close()));
    cancel();
  }
}
