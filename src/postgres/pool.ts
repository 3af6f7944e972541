/**
 * A bounded set of connections, handed out first come, first served. The store has two pools: one of a single connection
 * for appends, and one of several connections for everything else. They are separate because an append may hold its
 * connection while it waits for the append lock. With `max: 1` they are one. Stores that share both pools (shared-pools.ts)
 * take turns.
 *
 * States of a connection in the pool: opening → in use → idle → in use → …; closed after idleTimeoutMillis, after maxUses
 * uses, when it is lost, when the other pool needs its place, or with the pool. A connection that has opened or become
 * free goes to the caller that has waited longest.
 *
 * States of the pool: open → closing (running and waiting calls finish) → closed.
 *
 * A server, a role or a pooler may grant fewer connections than `max`. Then callers share the connections that exist: a
 * call fails only if there is none at all, or if none becomes free within connectionTimeoutMillis.
 */
import { ConnectionError, codeOf, sanitize, storeClosed } from "../errors.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { ConnectionUses } from "./connection-uses.ts";
import { forgetPooling, type HostState, openConnection } from "./host-selection.ts";
import { isIntended } from "./log.ts";
import { LONGEST_MS } from "./timers.ts";
import { type Owner as OwnerOf, WaitingLine } from "./waiting-line.ts";

type Owner = OwnerOf<Connection>;

type Waiter = {
  /** Who waits, if several stores share the pool: they take turns. */
  readonly owner: Owner | undefined;
  /** How many attempts to open a connection had been made when it began to wait. */
  readonly attempts: number;
  grant(connection: Connection): void;
  fail(error: unknown): void;
};

export type PoolOptions = Omit<ConnectionOptions, "endpoint"> & {
  readonly max: number;
  /** The pool closes no idle connection if that would leave fewer than this. */
  readonly min: number;
  /** A connection of more owners than this is closed: its server process caches catalog entries of all their tables. */
  readonly maxOwners?: number;
  /** What the pool is for, as an error message says it. */
  readonly purpose: "all calls" | "commits" | "all but commits";
};

/** ms to wait after a refused attempt before the next one, while the pool has other connections. */
const REFUSED_MS = 1_000;
/** ms until the server has noticed that the other pool has closed a connection. */
const HANDED_OVER_MS = 50;
/** ms within which even a busy server has noticed that. */
const HAND_OVER_LIMIT_MS = 2_000;
/** ms after which an attempt counts as slow. A pooler that has no connection left lets the client wait, without an error. */
const SLOW_MS = 500;

/**
 * How many connections the pool opens at the same time once it has one. A login costs some milliseconds of CPU time on
 * each side, a statement about one. So a few connections serve a burst of calls sooner than one login per call.
 */
const OPENING_AT_ONCE = 2;

/** The server or a pooler has no connection left: too_many_connections, and PgBouncer's code for it. */
const HAS_NONE_LEFT = new Set<string | undefined>(["53300", "08P01"]);

export class Pool {
  readonly #options: PoolOptions;
  readonly #hosts: HostState;
  readonly #connections = new Set<Connection>();
  readonly #uses: ConnectionUses;
  /** The store's other pool, which takes its connections from the same server. */
  #other: Pool | undefined;
  #opening = 0;
  /** Connections whose host is selected, and that wait for the server or in the queue of a pooler. */
  readonly #unanswered = new Set<Connection>();
  #attempts = 0;
  #failedAttempt = 0;
  #idle: Connection[] = [];
  readonly #waiting = new WaitingLine<Waiter>();
  /** How many connections to close after their use, because the other pool has none. */
  #surplus = 0;
  /** Why the last attempt to open a connection failed; undefined after a success. */
  #refusal: unknown;
  /** While it runs, no connection is opened if the pool has one; with `always`, not even if it has none. */
  #pause: { readonly timer: NodeJS.Timeout; readonly always: boolean } | undefined;
  /** When the other pool last gave a connection up for this one. */
  #handedOver = Number.NEGATIVE_INFINITY;
  #reaper: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(options: PoolOptions, hosts: HostState) {
    this.#options = options;
    this.#hosts = hosts;
    this.#uses = new ConnectionUses(options.config.maxUses, options.maxOwners);
  }

  /** Connects two pools of one server, so that neither keeps the last available connection from the other. */
  share(other: Pool): void {
    this.#other = other;
    other.#other = this;
  }

  /** Connections in use or being opened, idle connections, and waiting callers. */
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
   * Runs `work` on a connection that no other call uses meanwhile, at once if one is idle. `fresh`: first closes the idle
   * connections, because they may be dead. `owner`: the store that asks, if several share the pool.
   */
  use<T>(work: (connection: Connection) => Promise<T>, fresh = false, owner?: Owner): Promise<T> {
    if (this.#closed) return Promise.reject(storeClosed());
    if (fresh) this.#destroyIdle();
    const idle = this.#takeIdle(owner);
    if (!idle) return this.#acquire({ owner }).then((connection) => this.#run(connection, work));
    this.#take(idle, owner);
    return this.#run(idle, work);
  }

  /** The idle connection that `owner` used last, or else the one that was used last. */
  #takeIdle(owner: Owner | undefined): Connection | undefined {
    const at = owner?.last ? this.#idle.lastIndexOf(owner.last) : -1;
    return at < 0 ? this.#idle.pop() : this.#idle.splice(at, 1)[0];
  }

  /**
   * Opens a first connection before it is needed, and lets `work` prepare it. It does not keep the process alive. Errors
   * are ignored: the next use gets them again.
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

  /** `background`: the wait does not keep the process alive. */
  #acquire({
    background = false,
    owner,
  }: {
    background?: boolean;
    owner?: Owner | undefined;
  }): Promise<Connection> {
    // A connection that is still warming up must keep the process alive from now on, because a caller waits for it.
    if (!background) for (const connection of this.#connections) connection.ref(true);
    return new Promise((resolve, reject) => {
      const limit = this.#options.config.connectionTimeoutMillis;
      let timer: NodeJS.Timeout | undefined;
      const waiter: Waiter = {
        owner,
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
        // The pool's first connection is still being opened. It has a timeout of its own, whose error says more.
        if (this.#connections.size === 0 && this.#opening > 0) {
          timer = setTimeout(expire, limit);
          return;
        }
        this.#waiting.remove(waiter);
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
    const refused = reason === "" ? "" : `, and no other can be opened${reason}`;
    const used = refused === "" ? max : this.#connections.size;
    const text = `no connection became free within ${limit} ms: all ${used}${kept} are in use${refused}`;
    return new ConnectionError("POOL_TIMEOUT", text, false);
  }

  /** Opens connections for the waiting callers. */
  #openMore(): void {
    while (this.#opening < this.#waiting.length && this.#size < this.#options.max) {
      if (this.#pause && (this.#pause.always || this.#size > 0)) return;
      // After a refusal, open one at a time, so that a full server does not have to refuse many.
      if (this.#refusal !== undefined && this.#connections.size > 0 && this.#opening > 0) return;
      if (this.#connections.size > 0 && this.#opening >= OPENING_AT_ONCE) return;
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

  /** An attempt to open a connection failed. Callers go on waiting as long as another connection may become free. */
  #refused(error: unknown, attempt: number): void {
    this.#refusal = error;
    this.#failedAttempt = Math.max(this.#failedAttempt, attempt);
    if (this.#size > 0) this.#pauseFor(REFUSED_MS);
    else if (this.#waiting.length > 0 && HAS_NONE_LEFT.has(codeOf(error)) && this.#mayGetOne())
      this.#pauseFor(HANDED_OVER_MS, true);
    else {
      // Callers that came after the failed attempt get an attempt of their own.
      const served = this.#waiting.takeIf(({ attempts }) => attempts < this.#failedAttempt);
      for (const waiter of served) waiter.fail(error);
    }
  }

  /** Whether the other pool gives a connection up, has just done so, or is opening one that it can give up next. */
  #mayGetOne(): boolean {
    const now = performance.now();
    if (this.#other?.giveUpOne()) this.#handedOver = now;
    return now - this.#handedOver < HAND_OVER_LIMIT_MS || (this.#other?.isOpening ?? false);
  }

  get isOpening(): boolean {
    return this.#opening > 0;
  }

  #pauseFor(ms: number, always = false): void {
    clearTimeout(this.#pause?.timer);
    const timer = setTimeout(() => {
      this.#pause = undefined;
      this.#next();
    }, ms);
    this.#pause = { timer, always };
    // A waiting caller has a timer of its own, or waits for a connection that keeps the process alive.
    if (!always) timer.unref();
  }

  /**
   * Closes one connection so that the other pool can open one: an idle one now, or one in use after its use. It also
   * cancels this pool's attempts in a pooler's queue, because the other pool's attempt would wait behind them. Returns
   * false if this pool has no connection to give up.
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

  /** Ends a connection, and opens no other for a moment, so that the other pool can take its place at the server. */
  async #end(connection: Connection): Promise<void> {
    this.#pauseFor(2 * HANDED_OVER_MS, true);
    await connection.end();
  }

  /** A connection has closed: another one may be opened for the waiting callers. */
  #forget(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    this.#hosts.onLost?.(connection.closedWith);
    forgetPooling(this.#hosts, connection, isIntended(connection.closedWith));
    this.#idle = this.#idle.filter((idle) => idle !== connection);
    this.#surplus = Math.min(this.#surplus, this.#connections.size);
    this.#next();
  }

  #next(): void {
    this.#openMore();
    if (this.#size === 0 && this.#waiting.length === 0) this.#drained?.();
  }

  #take(connection: Connection, owner: Owner | undefined): void {
    connection.ref(true);
    this.#uses.add(connection, owner);
  }

  #release(connection: Connection): void {
    if (connection.closedWith) return;
    if (this.#surplus > 0) {
      this.#surplus--;
      void this.#end(connection);
      return;
    }
    if (this.#uses.areSpent(connection)) {
      void connection.end();
      return;
    }
    const next = this.#waiting.shift(connection);
    if (next) {
      this.#take(connection, next.owner);
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

  /** Schedules the close of connections that were idle for idleTimeoutMillis, the longest idle first. */
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

  /** Lets running and waiting calls finish, then closes every connection. */
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
    // Idle connections do not keep the process alive. It must stay alive until dispose() has resolved.
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
