/**
 * notify(): tells the app of events that other processes commit, and of work to claim (look-out.ts), so that the app need
 * not poll. Notifications are hints: once notify() has started, an error is at most logged. If the start fails, it rejects.
 *
 * States of one call of notify():
 *
 * - starting: LISTEN was sent, and the position is read. → catching up (the server has confirmed it), or → ended (it failed).
 * - listening: each payload calls the handler. A shortened payload first waits for its events to be looked up.
 *   → disconnected (the connection was lost), or → ended.
 * - disconnected: the listener reconnects by itself. The server does not keep payloads that are sent meanwhile.
 *   → catching up (LISTEN is confirmed again), or → ended.
 * - catching up: reads the log from the last position on, and calls the handler for events that were not reported.
 *   Payloads are handled meanwhile. → listening.
 * - ended: by its disposer, by a second call, or by dispose(). The handler is not called any more.
 *
 * The position comes from the log alone. Anyone may send a payload, so a payload never moves the position. A payload only
 * keeps catch-up, and a poll of the look-out, from reporting the events that it names. If it names an id above the end of the
 * log, catch-up takes the log for restored, and reports the newest events again.
 */
import type { NotifyDisposer, StoreNotification } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";
import type { Listener, Row } from "../postgres/index.ts";
import { log } from "../values/log.ts";
import { checkFunction } from "../values/validate.ts";
import { IdRanges } from "./id-ranges.ts";
import { LookOut, RecentClaims } from "./look-out.ts";
import { type EventRef, type NotifyPayload, parsePayload } from "./payload.ts";

export type Handler = (notification: StoreNotification) => void;

/** How many of the newest events catch-up reads. The app needs one notification per stream, and reads the rest itself. */
const MAX_CATCH_UP = 1_000;
/** The most events that are looked up for one shortened payload. Of a larger commit only the first ones are reported. */
const MAX_EVENTS = 10_000;
/**
 * The most shortened payloads that wait to be looked up, one after the other. The look-out finds the events of further ones,
 * if no process correlates them.
 */
const MAX_WAITING = 1_000;
/** The longest delay of a Node timer, in ms. */
const FOR_EVER = 2_147_483_647;

/** The part of an append that is tracked. */
type Append = Promise<{ readonly outcome: { readonly ids: readonly number[] } }>;

/**
 * The events that this store has committed, which catch-up leaves out.
 *
 * MAX_CATCH_UP ranges are enough. Each has at least one event, so a commit whose range was removed is older than
 * MAX_CATCH_UP own events. Catch-up reads no more events than that, so it does not reach the commit, unless some of the newer
 * events have been truncated. Then it reports the commit.
 */
class OwnCommits {
  readonly ids = new IdRanges(MAX_CATCH_UP);
  readonly #pending = new Set<Promise<void>>();

  track(append: Append): void {
    const recorded = append.then(
      ({ outcome: { ids } }) => {
        const [from] = ids;
        const to = ids.at(-1);
        // A commit draws its ids under the append lock, so no other commit's ids are between them.
        if (from !== undefined && to !== undefined) this.ids.add(from, to);
      },
      () => {},
    );
    this.#pending.add(recorded);
    void recorded.then(() => this.#pending.delete(recorded));
  }

  /** Whether no append of this store is running. */
  get isIdle(): boolean {
    return this.#pending.size === 0;
  }

  /** Resolves once the appends that are running now have ended. Their events may already be in the log. */
  async allRecorded(): Promise<void> {
    await Promise.all(this.#pending);
  }
}

/** The notifications of one store. A second start() ends the first one. */
export class Notifier {
  readonly #context: Context;
  readonly #own = new OwnCommits();
  readonly #claims = new RecentClaims();
  #listening: Listening | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  async start(handler: Handler): Promise<NotifyDisposer> {
    checkFunction("notify", "handler", handler);
    const previous = this.#listening;
    const listening = new Listening(this.#context, this.#own, this.#claims, handler);
    this.#listening = listening;
    await previous?.end();
    try {
      await listening.start();
    } catch (error) {
      await listening.end();
      throw error;
    }
    return () => listening.end();
  }

  /** Records a commit of this store, so that catch-up can leave it out. */
  track(append: Append): void {
    this.#own.track(append);
  }

  /** Records that this store claims, so that the look-out can leave out the lane. */
  claims(lane: string | undefined): void {
    this.#claims.note(lane);
  }

  async stop(): Promise<void> {
    await this.#listening?.end();
  }
}

class Listening {
  readonly #context: Context;
  readonly #own: OwnCommits;
  readonly #handler: Handler;
  #listener: Listener | undefined;
  #ended = false;
  /** The id of the newest event when the log was last read. */
  #position = -1;
  /** The last events that payloads have named, at most MAX_CATCH_UP: id → stream. */
  readonly #received = new Map<number, string>();
  #lookUps = Promise.resolve();
  #waiting = 0;
  #catchUps = Promise.resolve();
  readonly #lookOut: LookOut;
  /** A process that listens waits for work, so it must not end. Without this timer, nothing might keep it alive. */
  readonly #keepAlive = setInterval(() => {}, FOR_EVER);

  constructor(context: Context, own: OwnCommits, claims: RecentClaims, handler: Handler) {
    this.#context = context;
    this.#own = own;
    this.#handler = handler;
    this.#lookOut = new LookOut(context, {
      claims,
      position: () => this.#position,
      isKnown: ({ id, stream }) => this.#isKnown(id, stream),
      report: (events) => this.#callByStream(events),
    });
  }

  /** Resolves once the server has confirmed LISTEN. */
  async start(): Promise<void> {
    const { names, connections } = this.#context;
    // Stores that share the listening connection do not each report its loss.
    const quiet = connections.isShared;
    const listening = guard("notify", () =>
      connections.listen({
        channel: names.channel,
        onPayload: (payload) => this.#receive(payload),
        // Logged once for each loss. Further attempts to listen are not logged.
        onLost: () =>
          quiet ||
          log().warn(
            `[act-drizzle] "${names.schema}"."${names.table}": the connection that listens was lost; until it is back, events of other processes are found by polling only`,
          ),
        onReconnected: () => {
          this.#context.signals?.observer?.listenerReconnected();
          if (!quiet)
            log().info(
              `[act-drizzle] "${names.schema}"."${names.table}": listening again; reading the events that were missed`,
            );
          void this.#catchUpNext();
        },
      }),
    );
    // The position is read meanwhile, so that a connection of the pool is open when the app begins to work: a new process
    // handles its first event some 10 ms earlier.
    const [listen, read] = await Promise.allSettled([listening, this.#readPosition()]);
    if (listen.status === "rejected") throw listen.reason;
    if (this.#ended) return listen.value.stop();
    this.#listener = listen.value;
    if (read.status === "rejected") throw read.reason;
    // A catch-up may have set the position already.
    this.#position = Math.max(this.#position, read.value);
    // No payload came for an event that was committed after the position was read and before LISTEN was confirmed.
    const caughtUp = this.#catchUpNext(true);
    // A commit of this store may wait long, and the start must not wait for it.
    if (this.#own.isIdle) await caughtUp;
    if (!this.#ended) this.#lookOut.start();
  }

  /** The id of the newest event; -1 for an empty log. */
  async #readPosition(): Promise<number> {
    const { names, connections } = this.#context;
    const [row] = await connections.read("notify", {
      text: `select id from ${names.events} order by id desc limit 1`,
    });
    return Number(row?.id ?? -1);
  }

  /** Idempotent. The handler is not called any more. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#keepAlive);
    this.#lookOut.stop();
    await this.#listener?.stop();
  }

  #receive(text: string): void {
    const payload = parsePayload(text);
    // An announcement of this store counts too: its app does not claim by itself after an operator verb.
    if (payload?.claimable) this.#lookOut.announced();
    if (!payload || payload.claimable || payload.by === this.#context.by) return;
    if (!payload.range) {
      this.#report(payload.stream, payload.events);
      return;
    }
    if (this.#waiting >= MAX_WAITING) return;
    this.#waiting++;
    this.#lookUps = this.#lookUps.then(async () => {
      await this.#lookUp(payload);
      this.#waiting--;
    });
  }

  async #lookUp({ stream, range }: NotifyPayload): Promise<void> {
    if (this.#ended || !range) return;
    const { names, connections } = this.#context;
    try {
      // $1 stream, $2 first id, $3 last id
      const rows = await connections.read("notify", {
        text: `select id, name from ${names.events}
  where stream = $1::text and id between $2::bigint and $3::bigint order by id limit ${MAX_EVENTS}`,
        params: [stream, range.from, range.to],
      });
      this.#report(stream, rows.map(toEvent));
    } catch {
      // The log cannot be read now. The look-out finds the events.
    }
  }

  /**
   * Catch-ups run one after the other. `starting`: only the position counts, because ids of earlier commits of this process
   * may be of a log that was restored since.
   */
  #catchUpNext(starting = false): Promise<void> {
    this.#catchUps = this.#catchUps.then(() => this.#catchUp(starting));
    return this.#catchUps;
  }

  async #catchUp(starting: boolean): Promise<void> {
    if (this.#ended) return;
    const { names, connections } = this.#context;
    const highest = starting ? this.#position : this.#highestKnown();
    try {
      // A log that ends below a known id was restored, and its ids start again at 1: then all its events are new.
      // $1 position, $2 highest known id
      const rows = await connections.read("notify", {
        text: `select id, name, stream from ${names.events}
  where id > coalesce((select $1::bigint where $2::bigint <= (select max(id) from ${names.events})), -1)
  order by id desc limit ${MAX_CATCH_UP}`,
        params: [this.#position, highest],
      });
      const [newest] = rows;
      if (!newest) return;
      this.#position = Number(newest.id);
      if (this.#position < highest) {
        this.#received.clear();
        this.#own.ids.clear();
      }
      // The rows may contain a commit of this store whose answer has not arrived yet.
      await this.#own.allRecorded();
      const missed = rows.filter((row) => !this.#isKnown(Number(row.id), String(row.stream))).reverse();
      this.#callByStream(missed.map((row) => ({ ...toEvent(row), stream: String(row.stream) })));
    } catch {
      // The log cannot be read now. The look-out finds the events.
    }
  }

  /** The highest id seen so far: in the log, in an own commit or in a payload. */
  #highestKnown(): number {
    let highest = Math.max(this.#position, this.#own.ids.highest ?? -1);
    for (const id of this.#received.keys()) highest = Math.max(highest, id);
    return highest;
  }

  /** Whether the app knows of the event, by its own commit or by a payload. */
  #isKnown(id: number, stream: string): boolean {
    return this.#own.ids.has(id) || this.#received.get(id) === stream;
  }

  /** Calls the handler with the events of a payload, and records them for the next catch-up. */
  #report(stream: string, events: EventRef[]): void {
    for (const { id } of events) {
      // A key that is deleted and set again moves to the end of the Map, so that the first key is the oldest.
      this.#received.delete(id);
      this.#received.set(id, stream);
    }
    for (const id of this.#received.keys()) {
      if (this.#received.size <= MAX_CATCH_UP) break;
      this.#received.delete(id);
    }
    this.#call(stream, events);
  }

  #callByStream(events: readonly (EventRef & { readonly stream: string })[]): void {
    for (const [stream, group] of Map.groupBy(events, (event) => event.stream))
      this.#call(
        stream,
        group.map(({ id, name }) => ({ id, name })),
      );
  }

  #call(stream: string, events: EventRef[]): void {
    if (this.#ended || events.length === 0) return;
    // The app reads on from here, so no replica may show it an older state.
    this.#context.connections.seen?.event(Math.max(...events.map(({ id }) => id)));
    const failed = (error: unknown) =>
      log().error(
        `[act-drizzle] a notify handler failed: ${error instanceof Error ? error.name : "not an Error"}`,
      );
    try {
      // The type says that it returns nothing, but an async function is assignable to that type.
      const result: unknown = this.#handler({ stream, events });
      Promise.resolve(result).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

const toEvent = (row: Row): EventRef => ({ id: Number(row.id), name: String(row.name) });
