/**
 * progressOf(): waits until projections have handled an event, so that its writer finds it in the read models.
 *
 * A target has handled an event when its watermark in the log has reached it: the acknowledgement follows the
 * transaction of the handler. Workers announce their acknowledgements with NOTIFY. A waiter is woken by that, and also
 * polls, so that a lost notification costs only time.
 */
import type { Lease } from "@rotorsoft/act";
import type { PostgresStoreOptions } from "../options/options.generated.ts";
import type { Listener } from "../postgres/index.ts";
import { afterPoll, LONGEST_MS } from "../postgres/timers.ts";
import type { PostgresStore } from "../store.ts";
import { isRecord } from "../values/json-dates.ts";
import { ANY, type Rules, SIGNAL, TEXTS } from "../values/rules.ts";
import { badInput, CaughtUpTimeout, checkInput, type Lagging, ProjectionError } from "./errors.ts";
import { lastFor, targetsOf } from "./last-for.ts";
import { LogConnection } from "./log-connection.ts";
import type { App, StoredEvent } from "./reactions.ts";

/** ms to wait for a notification before reading the watermarks again: short at first, in case workers do not notify. */
const FIRST_PAUSE = 25;
const LONGEST_PAUSE = 500;
const DEFAULT_TIMEOUT = 5_000;
/** ms by which the last read may be later than the timeout. */
const GRACE = 1_000;
/**
 * NOTIFY takes less than 8,000 bytes. A list of names that is too long is left out. Receivers do not read the names:
 * each notification wakes all waiters.
 */
const MAX_PAYLOAD = 7_500;

/** An app that emits its acknowledgements, as an act() app does. */
type Announcing = App & {
  on(event: "acked", listener: (leases: Lease[]) => void): unknown;
  off(event: "acked", listener: (leases: Lease[]) => void): unknown;
};

/** The app whose projections are waited for, and its store. */
export type ProgressOptions = {
  /** The app, with the reactions to wait for; it need not run them. */
  readonly app: Announcing;
  readonly store: PostgresStore;
  /** How to connect to the log. Default: as the store does. */
  readonly connection?: PostgresStoreOptions | undefined;
};

const RULES: Rules<ProgressOptions> = { app: ANY, store: ANY, connection: ANY };

/** How long to wait. */
export type CaughtUpOptions = {
  /** How long to wait at most, in ms. Default 5,000. */
  readonly timeout?: number | undefined;
  /** Ends the wait; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
};

const WAIT_RULES: Rules<CaughtUpOptions> = { timeout: ANY, signal: SIGNAL };

/** An event, the result of `app.do()`, or the id of an event. */
export type Reached = number | StoredEvent | readonly { readonly event?: StoredEvent | undefined }[];

/** Waits for projections. {@link progressOf} makes one. */
export type Progress = {
  /**
   * Resolves once each target has handled the event, and all events before it that are for the target. Without targets
   * it waits for all targets that react to the event.
   *
   * @throws CaughtUpTimeout, which says how far each target is; ProjectionError `BLOCKED` at once if a target is
   * blocked; StoreError if the log cannot be read.
   */
  caughtUp(
    targets: readonly string[] | undefined,
    reached: Reached,
    options?: CaughtUpOptions,
  ): Promise<void>;
  /** For a process that runs the reactions: notifies other processes of each acknowledgement, from now on. */
  announce(): void;
  /** Ends the connection to the log. Calls that still wait reject. */
  dispose(): Promise<void>;
};

type Position = Lagging & { readonly error: string | undefined; readonly blocked: boolean };

/** A call of caughtUp(). `behind`: the targets that were behind when the log was last read. */
type Wait = {
  readonly id: number;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  behind: readonly Position[];
};

class Watch implements Progress {
  readonly #app: Announcing;
  readonly #store: PostgresStore;
  readonly #connection: LogConnection;
  readonly #channel: string;
  readonly #waiting = new Set<() => void>();
  /** Each ends one call of caughtUp() that waits for the log. dispose() calls them. */
  readonly #cuts = new Set<() => void>();
  #listener: Promise<Listener | undefined> | undefined;
  #announces = false;
  #disposed = false;

  constructor({ app, store, connection }: ProgressOptions) {
    this.#app = app;
    this.#store = store;
    this.#connection = new LogConnection(store, connection);
    this.#channel = `act_acks_${this.#connection.names.schema}_${this.#connection.names.table}`;
    app.on("acked", this.#acked);
  }

  readonly #wake = () => {
    for (const look of this.#waiting) look();
  };

  readonly #acked = (leases: Lease[]) => {
    this.#wake();
    if (!this.#announces || this.#disposed) return;
    const text = JSON.stringify(leases.map(({ stream }) => stream));
    const payload = Buffer.byteLength(text) > MAX_PAYLOAD ? "" : text;
    // If this is lost, the waiters poll.
    this.#connection.notify(this.#channel, payload).catch(() => {});
  };

  announce = (): void => {
    this.#announces = true;
  };

  caughtUp: Progress["caughtUp"] = async (targets, reached, options = {}) => {
    checkInput("caughtUp", options, WAIT_RULES);
    const { timeout = DEFAULT_TIMEOUT, signal } = options;
    checkWait(targets, timeout);
    const event = await this.#eventOf(reached);
    const names = targets ?? (typeof event === "number" ? undefined : targetsOf(this.#app, event));
    if (!names) throw badInput("caughtUp: name the targets, or give the event itself instead of its id.");
    if (this.#disposed) throw disposed();
    const wait: Wait = { id: typeof event === "number" ? event : event.id, timeout, signal, behind: [] };
    await this.#unlessCut(this.#handled(names, wait), wait);
  };

  async #handled(names: readonly string[], wait: Wait): Promise<void> {
    const { id, timeout, signal } = wait;
    const deadline = performance.now() + timeout;
    // LISTEN starts at the same time as the first read: often there is nothing to wait for.
    void this.#listen();
    let behind = await this.#behind(names, id);
    const goOn = () => {
      signal?.throwIfAborted();
      if (performance.now() >= deadline) throw new CaughtUpTimeout(id, timeout, behind);
    };
    wait.behind = behind;
    if (behind.length > 0) behind = await this.#relevant(behind, id, goOn);
    for (let pause = FIRST_PAUSE; behind.length > 0; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      failOnBlocked(behind);
      wait.behind = behind;
      const left = deadline - performance.now();
      if (left <= 0) throw new CaughtUpTimeout(id, timeout, behind);
      await this.#pause(Math.min(left, pause), signal);
      behind = await this.#stillBehind(behind);
    }
  }

  /** Settles as `work` does. Rejects earlier after an abort or dispose(), or if the log is late. */
  async #unlessCut(work: Promise<void>, wait: Wait): Promise<void> {
    const { id, timeout, signal } = wait;
    const cut = Promise.withResolvers<never>();
    const late = () => cut.reject(new CaughtUpTimeout(id, timeout, wait.behind));
    const aborted = () => cut.reject(signal?.reason);
    const dispose = () => cut.reject(disposed());
    const cancel = afterPoll(timeout < LONGEST_MS ? timeout + GRACE : 0, late);
    this.#cuts.add(dispose);
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
    try {
      await Promise.race([work, cut.promise]);
    } finally {
      cancel();
      this.#cuts.delete(dispose);
      signal?.removeEventListener("abort", aborted);
    }
  }

  async #eventOf(reached: Reached): Promise<number | StoredEvent> {
    const last = Array.isArray(reached) ? reached.at(-1)?.event : reached;
    if (typeof last === "number" && Number.isSafeInteger(last)) return last;
    if (isEvent(last)) return last;
    throw badInput("caughtUp: give an event, what app.do() returned, or the id of an event.");
  }

  /** The targets whose watermark is before `id`. */
  async #behind(targets: readonly string[], id: number): Promise<Position[]> {
    const rows = await this.#connection.run(
      "caughtUp",
      `select t.stream, coalesce(s.at, -1) as at, coalesce(s.blocked, false) as blocked, s.error
from jsonb_array_elements_text($1::text::jsonb) as t(stream)
left join ${this.#connection.names.streams} s on s.stream = t.stream
where coalesce(s.at, -1) < $2::bigint`,
      [JSON.stringify([...new Set(targets)]), id],
    );
    return rows.map(({ stream, at, blocked, error }) => ({
      target: String(stream),
      at: Number(at),
      waitsFor: id,
      blocked: blocked === true,
      error: typeof error === "string" ? error : undefined,
    }));
  }

  /** A target's watermark stops at the last event for it. So targets without a later event are not behind. */
  async #relevant(behind: readonly Position[], id: number, goOn: () => void): Promise<Position[]> {
    const all = await Promise.all(
      behind.map(async (position) => {
        const waitsFor = await lastFor(this.#app, this.#store, position.target, id, goOn);
        return { ...position, waitsFor };
      }),
    );
    return all.filter(({ at, waitsFor }) => at < waitsFor);
  }

  async #stillBehind(behind: readonly Position[]): Promise<Position[]> {
    const waitsFor = new Map(behind.map((position) => [position.target, position.waitsFor]));
    const highest = Math.max(...waitsFor.values());
    const now = await this.#behind([...waitsFor.keys()], highest);
    return now
      .map((position) => ({ ...position, waitsFor: waitsFor.get(position.target) ?? position.waitsFor }))
      .filter(({ at, waitsFor: until }) => at < until);
  }

  /** One LISTEN for all waiters. If LISTEN is not possible, they poll. */
  #listen(): Promise<Listener | undefined> {
    this.#listener ??= this.#connection
      .listen(this.#channel, this.#wake, this.#wake)
      .then((listener) => {
        this.#wake();
        return listener;
      })
      .catch(() => {
        this.#listener = undefined;
        return undefined;
      });
    return this.#listener;
  }

  /** Resolves at the next acknowledgement, or after `millis`. */
  #pause(millis: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        signal?.removeEventListener("abort", aborted);
        settle();
      };
      const look = end(() => (this.#disposed ? reject(disposed()) : resolve()));
      const aborted = end(() => reject(signal?.reason));
      const timer = setTimeout(look, millis);
      this.#waiting.add(look);
      signal?.addEventListener("abort", aborted);
      if (signal?.aborted) aborted();
      else if (this.#disposed) look();
    });
  }

  dispose = async (): Promise<void> => {
    this.#disposed = true;
    this.#app.off("acked", this.#acked);
    this.#wake();
    for (const cut of this.#cuts) cut();
    await this.#connection.close();
  };
}

const disposed = () => new ProjectionError("DISPOSED", "progress.dispose() was called.");

const isEvent = (value: unknown): value is StoredEvent =>
  isRecord(value) &&
  typeof value.id === "number" &&
  typeof value.name === "string" &&
  typeof value.stream === "string";

function checkWait(targets: unknown, timeout: unknown): void {
  if (targets !== undefined && !TEXTS.test(targets))
    throw badInput(`caughtUp: targets must be an array of names: ${TEXTS.takes}.`);
  if (typeof timeout !== "number" || Number.isNaN(timeout) || timeout < 0)
    throw badInput("caughtUp: timeout must be a number of ms, 0 or more.");
}

function failOnBlocked(behind: readonly Position[]): void {
  const blocked = behind.find((position) => position.blocked);
  if (!blocked) return;
  throw new ProjectionError(
    "BLOCKED",
    `caughtUp: ${JSON.stringify(blocked.target)} is blocked after event ${blocked.at} and will not reach event ${blocked.waitsFor}: fix its handler, then call app.unblock([${JSON.stringify(blocked.target)}]).`,
  );
}

/**
 * Waits for projections to handle an event. Create one per process, and dispose of it at the end; it opens a connection
 * to the log when it is first used.
 *
 * @throws ProjectionError if an argument is invalid.
 * @example
 * ```ts
 * const progress = progressOf({ app, store });
 * const snapshots = await app.do("deposit", target, { amount: 5 });
 * await progress.caughtUp(["balances"], snapshots, { timeout: 2_000 });
 * ```
 */
export function progressOf(options: ProgressOptions): Progress {
  if (!isRecord(options))
    throw badInput("progressOf: give its options as an object: progressOf({ app, store }).");
  checkInput("progressOf", options, RULES);
  if (typeof options.app?.on !== "function" || typeof options.app.registry?.events !== "object")
    throw badInput("progressOf: app must be what act()…build() returns.");
  if (typeof options.store?.config?.table !== "string")
    throw badInput("progressOf: store must be the PostgresStore of the app.");
  return new Watch(options);
}
