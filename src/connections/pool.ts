/** Connections for reads and single statements: a bounded set of slots, handed out first come, first served. */
import { ConnectionError } from "../errors.ts";
import { type Hosts, openSlot } from "./open.ts";
import type { Slot, SlotOptions } from "./slot.ts";

type Waiter = { grant(slot: Promise<Slot> | Slot): void };

export class Pool {
  readonly #options: Omit<SlotOptions, "endpoint">;
  readonly #hosts: Hosts;
  readonly #max: number;
  readonly #slots = new Set<Slot>();
  #opening = 0;
  #idle: Slot[] = [];
  #waiting: Waiter[] = [];
  #reaper: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(options: Omit<SlotOptions, "endpoint">, hosts: Hosts, max: number) {
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
    return this.#slots.size + this.#opening;
  }

  /** Runs `work` on a connection of its own. `fresh`: on a new one, the idle ones are not trusted. */
  async use<T>(work: (slot: Slot) => Promise<T>, fresh = false): Promise<T> {
    const slot = await this.#acquire(fresh);
    try {
      return await work(slot);
    } finally {
      this.#release(slot);
    }
  }

  #acquire(fresh: boolean): Promise<Slot> {
    if (this.#closed) return Promise.reject(closedError());
    if (fresh) {
      const suspects = this.#idle;
      this.#idle = [];
      for (const slot of suspects)
        slot.destroy(new ConnectionError("SUSPECT", "the connection was given up", false));
    }
    const idle = this.#idle.pop();
    if (idle) {
      idle.ref(true);
      return Promise.resolve(idle);
    }
    if (this.#size < this.#max) return this.#open();
    return new Promise((resolve, reject) => {
      const patience = this.#options.config.connectionTimeoutMillis;
      const waiter: Waiter = {
        grant: (slot) => {
          clearTimeout(timer);
          resolve(slot);
        },
      };
      const timer =
        patience > 0
          ? setTimeout(() => {
              // All wait equally long: it is the first, and thousands that time out cost no more than one each.
              if (this.#waiting[0] === waiter) this.#waiting.shift();
              else this.#waiting = this.#waiting.filter((w) => w !== waiter);
              const text = `no connection became free within ${patience} ms: all ${this.#max} are in use (raise max or connectionTimeoutMillis)`;
              reject(new ConnectionError("POOL_TIMEOUT", text, false));
            }, patience)
          : undefined;
      this.#waiting.push(waiter);
    });
  }

  async #open(): Promise<Slot> {
    this.#opening++;
    try {
      const slot = await openSlot(this.#options, this.#hosts, (dead) => this.#forget(dead));
      if (!slot.failure) this.#slots.add(slot);
      return slot;
    } finally {
      this.#opening--;
      this.#next();
    }
  }

  #forget(slot: Slot): void {
    if (!this.#slots.delete(slot)) return;
    this.#idle = this.#idle.filter((s) => s !== slot);
    this.#next();
  }

  /** A connection that died is a free place for who waits. */
  #next(): void {
    if (this.#waiting.length > 0 && this.#size < this.#max) this.#waiting.shift()?.grant(this.#open());
    if (this.#size === 0 && this.#waiting.length === 0) this.#drained?.();
  }

  #release(slot: Slot): void {
    if (slot.failure) return;
    const next = this.#waiting.shift();
    if (next) {
      next.grant(slot);
      return;
    }
    if (this.#closed) {
      void slot.end();
      return;
    }
    slot.idleSince = performance.now();
    slot.ref(false);
    this.#idle.push(slot);
    this.#reap();
  }

  /** Closes what has been idle for too long, the longest idle first. */
  #reap(): void {
    const { idleTimeoutMillis } = this.#options.config;
    if (this.#reaper || idleTimeoutMillis <= 0) return;
    this.#reaper = setTimeout(() => {
      this.#reaper = undefined;
      const limit = performance.now() - idleTimeoutMillis;
      const old = this.#idle.filter((slot) => slot.idleSince <= limit);
      this.#idle = this.#idle.filter((slot) => slot.idleSince > limit);
      for (const slot of old) void slot.end();
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
    await Promise.all(idle.map((slot) => slot.end()));
    this.#next();
    await drained;
  }
}

export function closedError(): ConnectionError {
  return new ConnectionError("STORE_CLOSED", "the store is disposed: create a new PostgresStore", false);
}
