/**
 * A bounded set of connections, handed out first come, first served. The store has two: one of several connections for
 * reads and single statements, and one of a single connection for appends. Appends wait for the append lock, and a
 * query that is bound to a busy connection waits behind it.
 *
 * States of a connection here: opening → in use → idle → in use → …; closed when it was idle for too long or was used
 * often enough, when it was lost, or with the pool. Whatever opens or becomes free goes to whoever has waited longest.
 *
 * A server, a role or a pooler may grant fewer connections than `max`. Then those that there are go round: a call fails
 * only if none can be had, or if none becomes free in time.
 */
import { ConnectionError, codeOf, sanitize, storeClosed } from "../errors.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { type Hosts, openConnection } from "./host-selection.ts";
import { LONGEST_MS } from "./timers.ts";

type Waiter = {
  /** How many attempts to open a connection there had been when it came. */
  readonly attempts: number;
  grant(connection: Connection): void;
  fail(error: unknown): void;
};

export type PoolOptions = Omit<ConnectionOptions, "endpoint"> & {
  readonly max: number;
  /** Connections that stay open when they are idle. */
  readonly min: number;
  /** What the pool is for, as part of a sentence. */
  readonly purpose: "all calls" | "commits" | "all but commits";
};

/** Once a connection was refused, no other is asked for so soon, while those that there are go round. */
const REFUSED_MS = 1_000;
/** The server takes a moment to notice that the other pool has given a connection up. */
const HANDED_OVER_MS = 50;
/** A pooler says nothing when it has no connection to give: it lets the client wait. */
const SLOW_MS = 500;

/** The server or a pooler has no connection left: too_many_connections, and what PgBouncer says. */
const HAS_NONE_LEFT = new Set<string | undefined>(["53300", "08P01"]);

export class Pool {
  readonly #options: PoolOptions;
  readonly #hosts: Hosts;
  readonly #connections = new Set<Connection>();
  readonly #uses = new WeakMap<Connection, number>();
  /** The store's other pool, which has its connections from the same server. */
  #other: Pool | undefined;
  #opening = 0;
  /** Connections that are being opened: at the server, or in the queue of a pooler. */
  readonly #unanswered = new Set<Connection>();
  #attempts = 0;
  #failedAttempt = 0;
  #idle: Connection[] = [];
  #waiting: Waiter[] = [];
  /** Connections to close after their use: the other pool has none. */
  #surplus = 0;
  /** Why the last connection could not be opened; undefined once one could. */
  #refusal: unknown;
  /** While it runs none is opened, unless there is no other; `always`: even then. */
  #pause: { readonly timer: NodeJS.Timeout; readonly always: boolean } | undefined;
  #reaper: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(options: PoolOptions, hosts: Hosts) {
    this.#options = options;
    this.#hosts = hosts;
  }

  /** Two pools at one server: neither keeps the last connection from the other. */
  share(other: Pool): void {
    this.#other = other;
    other.#other = this;
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
   * Runs `work` on a connection of its own, at once where one is idle. `fresh`: the idle ones are not trusted, and are
   * closed.
   */
  use<T>(work: (connection: Connection) => Promise<T>, fresh = false): Promise<T> {
    if (this.#closed) return Promise.reject(storeClosed());
    if (fresh) this.#destroyIdle();
    const idle = this.#idle.pop();
    if (!idle) return this.#acquire().then((connection) => this.#run(connection, work));
    this.#take(idle);
    return this.#run(idle, work);
  }

  /**
   * Opens a first connection before it is needed, and lets `work` prepare it. Keeps no process alive; whatever fails is
   * met again by the next use.
   */
  warmUp(work: (connection: Connection) => Promise<unknown>): void {
    if (this.#size > 0 || this.#closed) return;
    const prepare = (connection: Connection) => {
      connection.ref(this.#waiting.length > 0);
      return work(connection);
    };
    this.#acquire({ background: true })
      .then((connection) => this.#run(connection, prepare))
      .catch(() => {});
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

  /** `background`: the process may end meanwhile. */
  #acquire({ background = false } = {}): Promise<Connection> {
    // What a warm-up still holds must now keep the process alive, or nobody would wait for it.
    if (!background) for (const connection of this.#connections) connection.ref(true);
    return new Promise((resolve, reject) => {
      const limit = this.#options.config.connectionTimeoutMillis;
      let timer: NodeJS.Timeout | undefined;
      const waiter: Waiter = {
        attempts: this.#attempts,
        grant: (connection) => {
          clearTimeout(timer);
          resolve(connection);
        },
        fail: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const expire = () => {
        // The first connection of all is under way: it comes, or says why not, in a time of its own.
        if (this.#connections.size === 0 && this.#opening > 0) {
          timer = setTimeout(expire, limit);
          return;
        }
        // All wait equally long: it is the first, and thousands that time out cost no more than one each.
        if (this.#waiting[0] === waiter) this.#waiting.shift();
        else this.#waiting = this.#waiting.filter((w) => w !== waiter);
        reject(this.#timedOut(limit));
      };
      if (limit > 0) timer = setTimeout(expire, limit);
      if (background) timer?.unref();
      this.#waiting.push(waiter);
      this.#openMore();
    });
  }

  #timedOut(limit: number): ConnectionError {
    const { max, purpose, config } = this.#options;
    const kept = purpose === "all calls" ? "" : ` for ${purpose} (max is ${config.max})`;
    const reason = this.#refusal === undefined ? "" : ` (${sanitize(this.#refusal).message})`;
    const refused = reason === "" ? "" : `, and no other can be had${reason}`;
    const used = refused === "" ? max : this.#connections.size;
    const text = `no connection became free within ${limit} ms: all ${used}${kept} are in use${refused}`;
    return new ConnectionError("POOL_TIMEOUT", text, false);
  }

  /** Opens connections for those who wait. */
  #openMore(): void {
    while (this.#opening < this.#waiting.length && this.#size < this.#options.max) {
      if (this.#pause && (this.#pause.always || this.#size > 0)) return;
      // After a refusal one after the other, so that a server that is full has little to refuse.
      if (this.#refusal !== undefined && this.#connections.size > 0 && this.#opening > 0) return;
      void this.#open();
    }
  }

  async #open(): Promise<void> {
    this.#opening++;
    const attempt = ++this.#attempts;
    const slow = setInterval(() => {
      if (this.#connections.size > 0 || this.#other?.giveUpOne()) clearInterval(slow);
    }, SLOW_MS);
    slow.unref();
    const forget = (closed: Connection) => this.#forget(closed);
    let started: Connection | undefined;
    const opened = await openConnection(this.#options, this.#hosts, forget, (connection) => {
      started = connection;
      this.#unanswered.add(connection);
    }).catch((error: unknown) => ({ error }));
    clearInterval(slow);
    if (started) this.#unanswered.delete(started);
    this.#opening--;
    if ("error" in opened) this.#refused(opened.error, attempt);
    else if (opened.closedWith) this.#refused(opened.closedWith, attempt);
    else {
      this.#refusal = undefined;
      this.#connections.add(opened);
      this.#release(opened);
    }
    this.#next();
  }

  /** A connection could not be opened. Who waits goes on waiting as long as one may come. */
  #refused(error: unknown, attempt: number): void {
    this.#refusal = error;
    this.#failedAttempt = Math.max(this.#failedAttempt, attempt);
    if (this.#size > 0) this.#pauseFor(REFUSED_MS);
    else if (this.#waiting.length > 0 && HAS_NONE_LEFT.has(codeOf(error)) && this.#other?.giveUpOne())
      this.#pauseFor(HANDED_OVER_MS, true);
    else {
      // Who came after the attempt gets one of its own.
      const served = this.#waiting.filter(({ attempts }) => attempts < this.#failedAttempt);
      this.#waiting = this.#waiting.filter(({ attempts }) => attempts >= this.#failedAttempt);
      for (const waiter of served) waiter.fail(error);
    }
  }

  #pauseFor(ms: number, always = false): void {
    clearTimeout(this.#pause?.timer);
    const timer = setTimeout(() => {
      this.#pause = undefined;
      this.#next();
    }, ms);
    this.#pause = { timer, always };
    // Who waits has a timer of his own, or waits for a connection in use.
    if (!always) timer.unref();
  }

  /**
   * Closes a connection for the other pool's sake, now or after its use, and leaves the pooler's queue, where that would
   * come later. False: there is none.
   */
  giveUpOne(): boolean {
    if (this.#connections.size === 0) return false;
    for (const connection of this.#unanswered)
      connection.destroy(new ConnectionError("YIELDED", "left to the store's other pool", false));
    const idle = this.#idle.shift();
    if (idle) void this.#end(idle);
    else this.#surplus = Math.min(this.#surplus + 1, this.#connections.size);
    return true;
  }

  /** Ends a connection, and leaves its place at the server to others for a moment. */
  async #end(connection: Connection): Promise<void> {
    this.#pauseFor(2 * HANDED_OVER_MS, true);
    await connection.end();
  }

  /** A connection that died is a free place for who waits. */
  #forget(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    this.#idle = this.#idle.filter((idle) => idle !== connection);
    this.#surplus = Math.min(this.#surplus, this.#connections.size);
    this.#next();
  }

  #next(): void {
    this.#openMore();
    if (this.#size === 0 && this.#waiting.length === 0) this.#drained?.();
  }

  #take(connection: Connection): void {
    connection.ref(true);
    if (this.#options.config.maxUses > 0) this.#uses.set(connection, (this.#uses.get(connection) ?? 0) + 1);
  }

  #release(connection: Connection): void {
    if (connection.closedWith) return;
    if (this.#surplus > 0) {
      this.#surplus--;
      void this.#end(connection);
      return;
    }
    const { maxUses } = this.#options.config;
    if (maxUses > 0 && (this.#uses.get(connection) ?? 0) >= maxUses) {
      void connection.end();
      return;
    }
    const next = this.#waiting.shift();
    if (next) {
      this.#take(connection);
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
      const spare = Math.max(0, this.#connections.size - this.#options.min);
      const old = this.#idle.filter((connection) => connection.idleSince <= limit).slice(0, spare);
      this.#idle = this.#idle.filter((connection) => !old.includes(connection));
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
    // Idle connections, and one that is warmed up, keep no process alive. Whoever awaits dispose() is to see its end.
    const alive = setInterval(() => {}, LONGEST_MS);
    try {
      await Promise.all(idle.map((connection) => connection.end()));
      this.#next();
      await drained;
    } finally {
      clearInterval(alive);
    }
  }
}
