/**
 * The connections that several stores share: a pool for appends, a pool for everything else, and one connection that
 * listens. A store that is disposed of leaves all of them to the others.
 */
import { storeClosed } from "../errors.ts";
import type { ConnectionTarget, ResolvedOptions } from "../options/config.ts";
import type { Connection } from "./connection.ts";
import type { Query, Row } from "./exchange.ts";
import type { HostState } from "./host-selection.ts";
import { DatabaseLog } from "./log.ts";
import { Pool } from "./pool.ts";
import { Replica } from "./replica.ts";
import { writerSettings } from "./session-settings.ts";
import { SharedListener } from "./shared-listener.ts";
import type { Owner } from "./waiting-line.ts";

/** The operations of a pool that a store uses, on its own pool or a shared one. */
export type StorePool = Pick<Pool, "use" | "warmUp" | "counts" | "close">;

/** The property of a PostgresDatabase that holds its pools. Global, because each entry is bundled by itself. */
export const POOLS = Symbol.for("act-drizzle.pools");

type SharedOptions = {
  /** How many of the connections are for appends. Each serves one store at a time. */
  readonly writers: number;
  /** How many statements a connection keeps prepared. */
  readonly maxPrepared: number;
  /** A connection that has served more stores than this is closed, and another one opened. */
  readonly maxStores: number;
};

/** A store that uses the connections. */
export type SharingStore = {
  /** @throws StoreError if a running call of the store calls this, and `dispose()` would wait for that call. */
  assertCanEnd(): void;
  dispose(): Promise<void>;
};

export class SharedPools {
  readonly pool: Pool;
  /** With `max: 1` the same as `pool`. */
  readonly writer: Pool;
  readonly listener: SharedListener;
  readonly replicas: readonly Replica[];
  /** How many connections `pool` may have. */
  readonly readers: number;
  /** How many connections `writer` may have. */
  readonly writers: number;
  readonly stores = new Set<SharingStore>();
  #closed: Promise<void> | undefined;

  constructor(
    { config, secrets, listen, replicas }: ResolvedOptions,
    { writers, maxPrepared, maxStores }: SharedOptions,
  ) {
    const target: ConnectionTarget = { config, secrets };
    this.listener = new SharedListener(listen ?? target);
    const log = new DatabaseLog(config, "shared connections");
    const onEstablished = () => {
      log.opened();
      this.listener.reconnectSoon();
    };
    const hosts: HostState = { first: 0, onEstablished, onLost: (error) => log.lost(error) };
    const { max, min } = config;
    this.replicas = replicas.map(
      (replica) => new Replica(replica, { max, maxPrepared, maxOwners: maxStores }),
    );
    this.readers = Math.max(1, max - writers);
    this.writers = Math.min(writers, max);
    const all = { ...target, maxPrepared, maxOwners: maxStores };
    const idle = Math.max(0, min - writers);
    if (max === 1) {
      this.pool = new Pool({ ...all, max, min, purpose: "all calls" }, hosts);
      this.writer = this.pool;
      return;
    }
    this.pool = new Pool({ ...all, max: this.readers, min: idle, purpose: "all but commits" }, hosts);
    const settings = writerSettings(config);
    this.writer = new Pool(
      { ...all, settings, max: writers, min: Math.min(writers, min), purpose: "commits" },
      hosts,
    );
    this.writer.share(this.pool);
  }

  /** @throws ConnectionError after close(). */
  add(store: SharingStore): void {
    if (this.#closed) throw storeClosed();
    this.stores.add(store);
  }

  /**
   * Ends all stores, then closes every connection. If a store cannot end, nothing is changed.
   *
   * @throws StoreError if a running call of a store calls this: each would wait for the other to end.
   */
  async close(): Promise<void> {
    for (const store of this.stores) store.assertCanEnd();
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.stores].map((store) => store.dispose()));
    await Promise.all([this.pool, this.writer, ...this.replicas].map((owned) => owned.close()));
  }
}

/** The pools of a PostgresDatabase. */
export function poolsOf(database: object): SharedPools {
  const pools: SharedPools | undefined = Reflect.get(database, POOLS);
  if (pools === undefined) throw new TypeError("act-drizzle: a PostgresDatabase of this release is needed");
  return pools;
}

/** What one store uses of shared pools: the pools, and the query of the facts that its appends need. */
export type Share = { readonly pools: SharedPools; readonly facts?: Query };

/** One store's share of a pool. It counts the store's calls, so that close() can wait for them. */
export class PoolShare implements StorePool, Owner<Connection> {
  last: Connection | undefined;
  readonly #pool: Pool;
  #running = 0;
  #closed = false;
  #idle = () => {};

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  get counts() {
    return this.#pool.counts;
  }

  async use<T>(work: (connection: Connection) => Promise<T>, fresh = false): Promise<T> {
    if (this.#closed) throw storeClosed();
    this.#running++;
    try {
      return await this.#pool.use(work, fresh, this);
    } finally {
      this.#running--;
      if (this.#running === 0) this.#idle();
    }
  }

  warmUp(work: (connection: Connection) => Promise<unknown>): void {
    if (!this.#closed) this.#pool.warmUp(work);
  }

  /** Refuses new calls, and resolves once the store's own have ended. The connections stay. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }
}

/**
 * Facts about one store's tables, read once on each connection on which the store appends. A single store's connections read
 * them when they are established. A shared connection cannot, because it does not know yet which stores it will serve.
 */
export class SharedFacts {
  readonly #query: Query;
  #known = new WeakMap<Connection, Row>();

  constructor(query: Query) {
    this.#query = query;
  }

  /** `limit` in ms; 0 is none. */
  async of(connection: Connection, limit: number): Promise<Row> {
    const known = this.#known.get(connection);
    if (known) return known;
    const [row = {}] = await connection.run(this.#query, limit);
    this.#known.set(connection, row);
    return row;
  }

  /** The facts have changed, so they are read again. */
  forget(): void {
    this.#known = new WeakMap();
  }
}
