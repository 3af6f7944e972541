/** Connections for reads and single statements: a bounded set of slots, handed out first come, first served. */
import { ConnectionError } from "../errors.ts";
import { Slot, type SlotOptions } from "./slot.ts";

type Waiter = { grant(slot: Slot): void; refuse(error: Error): void };

export class Pool {
  readonly #options: SlotOptions;
  readonly #max: number;
  readonly #slots = new Set<Slot>();
  #idle: Slot[] = [];
  #waiting: Waiter[] = [];
  #reaper: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(options: SlotOptions, max: number) {
    this.#options = options;
    this.#max = max;
  }

  /** Connections in use, idle and waited for. */
  get counts(): { busy: number; idle: number; waiting: number } {
    return {
      busy: this.#slots.size - this.#idle.length,
      idle: this.#idle.length,
      waiting: this.#waiting.length,
    };
  }

  /** Runs `work` on a connection of its own. */
  async use<T>(work: (slot: Slot) => Promise<T>): Promise<T> {
    const slot = await this.#acquire();
    try {
      return await work(slot);
    } finally {
      this.#release(slot);
    }
  }

  #acquire(): Promise<Slot> {
    if (this.#closed) return Promise.reject(closedError());
    const idle = this.#idle.pop();
    if (idle) {
      idle.ref(true);
      return Promise.resolve(idle);
    }
    if (this.#slots.size < this.#max) return Promise.resolve(this.#open());
    return new Promise((resolve, reject) => {
      const patience = this.#options.config.connectionTimeoutMillis;
      const waiter: Waiter = {
        grant: (slot) => {
          clearTimeout(timer);
          resolve(slot);
        },
        refuse: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer =
        patience > 0
          ? setTimeout(() => {
              this.#waiting = this.#waiting.filter((w) => w !== waiter);
              const text = `no connection became free within ${patience} ms: all ${this.#max} are in use (raise max or connectionTimeoutMillis)`;
              reject(new ConnectionError("POOL_TIMEOUT", text, false));
            }, patience)
          : undefined;
      this.#waiting.push(waiter);
    });
  }

  #open(): Slot {
    const slot = new Slot(this.#options, (dead) => this.#forget(dead));
    this.#slots.add(slot);
    return slot;
  }

  #forget(slot: Slot): void {
    this.#slots.delete(slot);
    this.#idle = this.#idle.filter((s) => s !== slot);
    // A dead connection is a free place.
    if (this.#waiting.length > 0 && this.#slots.size < this.#max) this.#waiting.shift()?.grant(this.#open());
    this.#checkDrained();
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

  #checkDrained(): void {
    if (this.#slots.size === 0 && this.#waiting.length === 0) this.#drained?.();
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
    this.#checkDrained();
    await drained;
  }
}

export function closedError(): ConnectionError {
  return new ConnectionError("STORE_CLOSED", "the store is disposed: create a new PostgresStore", false);
}
