/**
 * What a page shows live: the overview every few seconds, and the log as it grows. Pages of the same store share one
 * LISTEN, and an overview that began less than 1 s ago.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { LogFilter, Watch } from "../admin/index.ts";
import type { Connection, EventView, Listener, LiveEvents, LogEvents, Overview } from "./api.ts";
import type { Opened } from "./databases.ts";
import { failureOf } from "./failures.ts";
import { overviewOf, sent } from "./reads.ts";

/**
 * For each page: least ms between the starts of two overviews, and least pause after an overview, as a multiple of its
 * duration. So a page that shows the overview reads less than a tenth of the time.
 */
const OVERVIEW = 2_000;
const RESTRAINT = 10;
/** ms between two messages of the tail, and between two polls if there are no notifications. */
const BATCH = 250;
const POLL = 1_000;
/** Most events in one message, and how many ids a tail may be behind before it skips some. */
const PAGE = 500;
const TOO_FAR = 5_000;
/** ms until the next attempt to reach a database that does not answer, and until the next attempt to LISTEN. */
const RETRY = 1_000;
const LISTEN_AGAIN = 10_000;

/** Sends one server-sent event; resolves once there is room for more. */
export type Send<Events> = <Name extends keyof Events & string>(
  name: Name,
  data: Events[Name],
  id?: string,
) => Promise<void>;

/** Waits, and ends early without an error when the page is gone. */
const pause = (ms: number, signal: AbortSignal) =>
  delay(Math.max(0, ms), undefined, { signal }).catch(() => {});

/** Tells a page once that the database has gone, and once that it is back. */
function tellConnection(send: (connection: Connection) => Promise<void>) {
  let connected = true;
  return async (error?: unknown) => {
    const now = error === undefined;
    if (now === connected) return;
    connected = now;
    await send({ connected, message: now ? undefined : failureOf(error).body.error.message });
  };
}

/** One LISTEN of a store, while a page shows it. */
class StoreListener {
  readonly #wakes = new Set<() => void>();
  #watch: Promise<Watch | undefined> | undefined;
  #current: Watch | undefined;
  #notifiedAt: number | undefined;
  #notBefore = 0;

  get listener(): Listener {
    return {
      state: this.#current?.state ?? "off",
      lastNotifiedMs: this.#notifiedAt === undefined ? undefined : performance.now() - this.#notifiedAt,
    };
  }

  /** Calls `wake` after each notification, and when LISTEN is back, until the returned function is called. */
  join(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => {
      this.#wakes.delete(wake);
      if (this.#wakes.size === 0) void this.stop();
    };
  }

  /** Begins to listen, unless it listens already. If LISTEN is not possible, it tries again after 10 s. */
  listen({ admin }: Opened): void {
    if (this.#watch || performance.now() < this.#notBefore) return;
    this.#notBefore = performance.now() + LISTEN_AGAIN;
    const onWake = () => {
      this.#notifiedAt = performance.now();
      for (const each of this.#wakes) each();
    };
    this.#watch = admin.watch(onWake).then((watch) => {
      this.#current = watch;
      if (!watch) this.#watch = undefined;
      return watch;
    });
  }

  async stop(): Promise<void> {
    const watch = await this.#watch;
    if (this.#wakes.size > 0) return;
    this.#watch = undefined;
    this.#current = undefined;
    this.#notBefore = 0;
    await watch?.stop();
  }
}

type Latest = { readonly overview: Promise<Overview>; readonly at: number };

export class Live {
  readonly #listeners = new Map<string, StoreListener>();
  readonly #latest = new Map<string, Latest>();

  #listener(store: Opened): StoreListener {
    let listener = this.#listeners.get(store.info.id);
    if (!listener) {
      listener = new StoreListener();
      this.#listeners.set(store.info.id, listener);
    }
    return listener;
  }

  /** A new overview, or the one of another caller that began less than 1 s ago. */
  overview(store: Opened): Promise<Overview> {
    const { id } = store.info;
    const known = this.#latest.get(id);
    if (known && performance.now() - known.at < OVERVIEW / 2) return known.overview;
    const latest = {
      overview: overviewOf(store.admin, this.#listener(store).listener),
      at: performance.now(),
    };
    latest.overview.catch(() => this.#latest.delete(id));
    this.#latest.set(id, latest);
    return latest.overview;
  }

  async overviews(store: Opened, send: Send<LiveEvents>, signal: AbortSignal): Promise<void> {
    const tell = tellConnection((connection) => send("connection", connection));
    const listener = this.#listener(store);
    const leave = listener.join(() => {});
    try {
      while (!signal.aborted) {
        listener.listen(store);
        const start = performance.now();
        try {
          const overview = await this.overview(store);
          if (signal.aborted) return;
          await tell();
          await send("overview", overview);
        } catch (error) {
          await tell(error);
        }
        const took = performance.now() - start;
        await pause(Math.max(OVERVIEW - took, took * RESTRAINT), signal);
      }
    } finally {
      leave();
    }
  }

  /** `after` undefined: the tail begins with the next event. */
  async tail(
    store: Opened,
    { filter, after }: { readonly filter: LogFilter; readonly after: number | undefined },
    send: Send<LogEvents>,
    signal: AbortSignal,
  ): Promise<void> {
    const tell = tellConnection((connection) => send("connection", connection));
    let wake = Promise.withResolvers<void>();
    const listener = this.#listener(store);
    const leave = listener.join(() => wake.resolve());
    let position = after;
    try {
      while (!signal.aborted) {
        listener.listen(store);
        const start = performance.now();
        wake = Promise.withResolvers<void>();
        let more = false;
        try {
          // After the highest possible id it finds nothing, and returns where the log ends.
          const page = await store.admin.log({
            ...filter,
            after: position ?? Number.MAX_SAFE_INTEGER - 1,
            limit: PAGE,
          });
          await tell();
          const last = page.lastId ?? 0;
          // If the position is beyond the log's end, the end was deleted, or the log was restored with ids from 1: go
          // on from the present end.
          const reached = position === undefined || position > last ? last : (page.newer ?? position);
          if (page.events.length > 0 || reached !== position)
            await send(
              "events",
              { events: sent(page.events).toReversed() as EventView[], position: reached },
              String(reached),
            );
          position = reached;
          more = reached < last;
          if (page.events.length === PAGE && last - reached > TOO_FAR) {
            const upTo = last - PAGE;
            await send("gap", { after: reached, upTo }, String(upTo));
            position = upTo;
          }
        } catch (error) {
          await tell(error);
          await pause(RETRY, signal);
          continue;
        }
        await pause(BATCH - (performance.now() - start), signal);
        if (more || signal.aborted) continue;
        const waiting = new AbortController();
        await Promise.race([wake.promise, pause(POLL - BATCH, AbortSignal.any([signal, waiting.signal]))]);
        waiting.abort();
      }
    } finally {
      leave();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.stop()));
  }
}
