/**
 * A bounded set of connections, handed out first come, first served. The store has two: one of several connections for
 * reads and single statements, and one of a single connection for appends. Appends wait for the append lock, and a
 * query that is bound to a busy connection waits behind it.
 *
 * States of a connection here: opening → in use → idle → in use → …; closed when it was idle for too long, when it was
 * lost, or with the pool. A place that becomes free goes to whoever has waited longest.
 */
import { ConnectionError, storeClosed } from "../errors.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { type Hosts, openConnection } from "./host-selection.ts";

type Waiter = { grant(connection: Promise<Connection> | Connection): void };

export class Pool {
  readonly #options: Omit<ConnectionOptions, "endpoint">;
  readonly #hosts: Hosts;
  readonly #max: number;
  readonly #connections = new Set<Connection>();
  #opening = 0;
  #idle: Connection[] = [];
  #waiting: Waiter[] = [];
  #reaper: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(options: Omit<ConnectionOptions, "endpoint">, hosts: Hosts, max: number) {
    this.#options = options;
    this.#hosts = hosts;
    this.#max = max;
  }

  /** Connections in use, idle and waited for. */
  get counts(): { busy: number; idle: number; waiting: number } {
    return {
      busy: this.#size - this.#idle.length,
      idle: this.#idle.length,
      waiting: this.#waiting.length,
    };
  }

  get #size(): number {
    return this.#connections.size + this.#opening;
  }

  /**
   * Runs `work` on a connection of its own, at once where one is idle. `fresh`: on a new connection, for the idle ones are
   * not trusted.
   */
  use<T>(work: (connection: Connection) => Promise<T>, fresh = false): Promise<T> {
    if (this.#closed) return Promise.reject(storeClosed());
    if (fresh) this.#destroyIdle();
    const idle = this.#idle.pop();
    if (!idle) return this.#acquire().then((connection) => this.#run(connection, work));
    idle.ref(true);
    return this.#run(idle, work);
  }

  /**
   * Opens a first connection before it is needed, and lets `work` prepare it. Keeps no process alive; whatever fails is
   * met again by the next use.
   */
  warmUp(work: (connection: Connection) => Promise<unknown>): void {
    if (this.#size > 0 || this.#closed) return;
    const prepare = (connection: Connection) => {
      connection.ref(false);
      return work(connection);
    };
    this.use(prepare).catch(() => {});
  }

  async #run<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
    try {
      return await work(connection);
    } finally {
      this.#release(connection);
    }
  }

  #destroyIdle(): void {
    const suspects = this.#idle;
    this.#idle = [];
    for (const connection of suspects)
      connection.destroy(new ConnectionError("SUSPECT", "the connection was given up", false));
  }

  #acquire(): Promise<Connection> {
    if (this.#size < this.#max) return this.#open();
    return new Promise((resolve, reject) => {
      const limit = this.#options.config.connectionTimeoutMillis;
      const waiter: Waiter = {
        grant: (connection) => {
          clearTimeout(timer);
          resolve(connection);
        },
      };
      const timer =
        limit > 0
          ? setTimeout(() => {
              // All wait equally long: it is the first, and thousands that time out cost no more than one each.
              if (this.#waiting[0] === waiter) this.#waiting.shift();
              else this.#waiting = this.#waiting.filter((w) => w !== waiter);
              const text = `no connection became free within ${limit} ms: all ${this.#max} are in use`;
              reject(new ConnectionError("POOL_TIMEOUT", text, false));
            }, limit)
          : undefined;
      this.#waiting.push(waiter);
    });
  }

  async #open(): Promise<Connection> {
    this.#opening++;
    try {
      const connection = await openConnection(this.#options, this.#hosts, (closed) => this.#forget(closed));
      if (!connection.closedWith) this.#connections.add(connection);
      return connection;
    } finally {
      this.#opening--;
      this.#next();
    }
  }

  #forget(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    this.#idle = this.#idle.filter((idle) => idle !== connection);
    this.#next();
  }

  /** A connection that died is a free place for who waits. */
  #next(): void {
    if (this.#waiting.length > 0 && this.#size < this.#max) this.#waiting.shift()?.grant(this.#open());
    if (this.#size === 0 && this.#waiting.length === 0) this.#drained?.();
  }

  #release(connection: Connection): void {
    if (connection.closedWith) return;
    const next = this.#waiting.shift();
    if (next) {
      connection.ref(true);
      next.grant(connection);
      return;
    }
    if (this.#closed) {
      void connection.end();
      return;
    }
    connection.idleSince = performance.now();
    connection.ref(false);
    this.#idle.push(connection);
    this.#reap();
  }

  /** Closes what has been idle for too long, the longest idle first. */
  #reap(): void {
    const { idleTimeoutMillis } = this.#options.config;
    if (this.#reaper || idleTimeoutMillis <= 0) return;
    this.#reaper = setTimeout(() => {
      this.#reaper = undefined;
      const limit = performance.now() - idleTimeoutMillis;
      const old = this.#idle.filter((connection) => connection.idleSince <= limit);
      this.#idle = this.#idle.filter((connection) => connection.idleSince > limit);
      for (const connection of old) void connection.end();
      if (this.#idle.length > 0) this.#reap();
    }, idleTimeoutMillis);
    this.#reaper.unref();
  }

  /** Lets what runs or waits finish, then closes every connection. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#reaper);
    const idle = this.#idle;
    this.#idle = [];
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    await Promise.all(idle.map((connection) => connection.end()));
    this.#next();
    await drained;
  }
}
