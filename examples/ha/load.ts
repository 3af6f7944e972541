/** Clients that commit all the time and note what they were told; then the log is compared with their notes. */
import { setTimeout as delay } from "node:timers/promises";
import { ConcurrencyError, StoreError } from "@rotorsoft/act";
import { ConnectionError, type PostgresStore } from "act-drizzle";

const CLIENTS = 8;

export type Report = {
  readonly acknowledged: number;
  readonly conflicts: number;
  readonly failed: number;
  readonly unknown: number;
  /** Of the unknown ones, those that are in the log. */
  readonly stored: number;
  readonly lost: readonly string[];
  /** In the log twice, or although the client was told that the commit failed. */
  readonly wrong: readonly string[];
};

export class Load {
  readonly #acknowledged = new Set<string>();
  readonly #failed = new Set<string>();
  readonly #unknown = new Set<string>();
  #conflicts = 0;
  #over = false;
  #last = performance.now();
  #longest = 0;
  #running: Promise<unknown> = Promise.resolve();

  /** Half of the clients write to streams of their own, half to one stream, where they get in each other's way. */
  start(stores: readonly PostgresStore[]): void {
    this.#last = performance.now();
    const clients = stores.flatMap((store, s) =>
      Array.from({ length: CLIENTS }, (_, k) =>
        this.#client(store, k % 2 ? "shared" : `own-${s}-${k}`, `${s}-${k}`),
      ),
    );
    this.#running = Promise.all(clients);
  }

  /** Resolves when every client has its last answer. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#running;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** The longest time without an acknowledged commit, in milliseconds. */
  get longestOutage(): number {
    return this.#longest;
  }

  async #client(store: PostgresStore, stream: string, name: string): Promise<void> {
    for (let n = 0; !this.#over; n++) {
      const token = `${name}-${n}`;
      try {
        const head = (await store.query_stats([stream])).get(stream)?.head.version ?? -1;
        await this.#commit(store, stream, head, token);
      } catch {
        // Not even the read succeeded: nothing was sent. A server that is down refuses at once, so wait a little.
        await delay(5);
      }
    }
  }

  async #commit(store: PostgresStore, stream: string, head: number, token: string): Promise<void> {
    const meta = { correlation: token, causation: {} };
    try {
      await store.commit(stream, [{ name: "Noted", data: { token } }], meta, head);
      this.#acknowledged.add(token);
      const now = performance.now();
      this.#longest = Math.max(this.#longest, now - this.#last);
      this.#last = now;
    } catch (error) {
      if (error instanceof ConcurrencyError) this.#conflicts++;
      else if (isUnknown(error)) this.#unknown.add(token);
      else this.#failed.add(token);
    }
  }

  /** Reads the whole log and compares it with what the clients were told. */
  async compare(store: PostgresStore): Promise<Report> {
    const times = new Map<string, number>();
    await store.query(({ meta: { correlation } }) => {
      times.set(correlation, (times.get(correlation) ?? 0) + 1);
    });
    const isStored = (token: string) => times.has(token);
    return {
      acknowledged: this.#acknowledged.size,
      conflicts: this.#conflicts,
      failed: this.#failed.size,
      unknown: this.#unknown.size,
      stored: [...this.#unknown].filter(isStored).length,
      lost: [...this.#acknowledged].filter((token) => !isStored(token)),
      wrong: [...times].filter(([token, n]) => n > 1 || this.#failed.has(token)).map(([token]) => token),
    };
  }
}

/** The connection was lost with the commit, and the store could not find out in time whether it is stored. */
const isUnknown = (error: unknown) =>
  error instanceof StoreError &&
  error.cause instanceof ConnectionError &&
  error.cause.code === "OUTCOME_UNKNOWN";
