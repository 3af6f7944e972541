/**
 * notify(): tells the app what other processes commit, so that it need not wait for its next look. A notification is
 * a hint, not a contract: the app polls as well, so nothing here may fail loudly.
 *
 * A subscription listens until it is ended. The listener reconnects by itself; what was sent meanwhile is lost, so
 * each time it is back the log is read from the last known position on (catch-up). That position comes from the log
 * alone. A payload can be sent by anyone, so it moves no position and hides no event but the one that it names.
 */
import { log, type NotifyDisposer, type StoreNotification } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";
import type { Listener, Row } from "../postgres/index.ts";
import { checkFunction } from "../values/validate.ts";
import { IdRanges } from "./id-ranges.ts";
import { type EventRef, type NotifyPayload, parsePayload } from "./payload.ts";

export type Handler = (notification: StoreNotification) => void;

/**
 * Events that catch-up reads, the newest. It tells no more: a notification for each stream is enough, the app reads
 * the rest itself.
 */
const CATCH_UP = 1_000;
/** Events that are looked up for one shortened payload. Of a larger commit the first ones are told. */
const LOOK_UP = 10_000;
/** Shortened payloads that wait to be looked up, one after the other on one connection. More are left to polling. */
const LOOK_UPS = 1_000;

/** What of an append its tracker looks at. */
type Append = Promise<{ readonly outcome: { readonly ids: readonly number[] } }>;

/**
 * The events that this store has committed, which catch-up leaves out. Of CATCH_UP ranges each holds an event that
 * is newer than what was forgotten, so that catch-up does not read as far back; only if newer events were truncated
 * since can an own commit be told.
 */
class OwnCommits {
  readonly ids = new IdRanges(CATCH_UP);
  readonly #pending = new Set<Promise<void>>();

  track(append: Append): void {
    const noted = append.then(
      ({ outcome: { ids } }) => {
        const [from] = ids;
        const to = ids.at(-1);
        // One commit's ids hold no other's: it draws them under the append lock.
        if (from !== undefined && to !== undefined) this.ids.add(from, to);
      },
      () => {},
    );
    this.#pending.add(noted);
    void noted.then(() => this.#pending.delete(noted));
  }

  /** Resolves once the appends that are under way now have ended: their events may be in the log before. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }
}

/** The notifications of one store. A second start() replaces the first. */
export class Notifier {
  readonly #context: Context;
  readonly #own = new OwnCommits();
  #subscription: Subscription | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  async start(handler: Handler): Promise<NotifyDisposer> {
    checkFunction("notify", "handler", handler);
    const previous = this.#subscription;
    const subscription = new Subscription(this.#context, this.#own, handler);
    this.#subscription = subscription;
    await previous?.end();
    try {
      await subscription.start();
    } catch (error) {
      await subscription.end();
      throw error;
    }
    return () => subscription.end();
  }

  /** The append path tells of its own commits, so that catch-up can leave them out. */
  track(append: Append): void {
    this.#own.track(append);
  }

  async stop(): Promise<void> {
    await this.#subscription?.end();
  }
}

class Subscription {
  readonly #context: Context;
  readonly #own: OwnCommits;
  readonly #handler: Handler;
  #listener: Listener | undefined;
  #ended = false;
  /** The newest event when the log was last looked at. */
  #position = -1;
  /** The newest events that payloads have named, as id → stream: at most CATCH_UP. */
  readonly #received = new Map<number, string>();
  #lookUps = Promise.resolve();
  #waiting = 0;
  #catchUps = Promise.resolve();

  constructor(context: Context, own: OwnCommits, handler: Handler) {
    this.#context = context;
    this.#own = own;
    this.#handler = handler;
  }

  /** Resolves once the server has confirmed LISTEN. */
  async start(): Promise<void> {
    const { names, connections } = this.#context;
    const listener = await guard("notify", () =>
      connections.listen({
        channel: names.channel,
        onPayload: (payload) => this.#receive(payload),
        onReconnected: () => {
          this.#catchUps = this.#catchUps.then(() => this.#catchUp());
        },
      }),
    );
    if (this.#ended) return listener.stop();
    this.#listener = listener;
    const [row] = await connections.read("notify", {
      text: `select id from ${names.events} order by id desc limit 1`,
    });
    // A catch-up may have been faster.
    this.#position = Math.max(this.#position, Number(row?.id ?? -1));
  }

  /** Idempotent. The handler is not called any more. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#listener?.stop();
  }

  #receive(text: string): void {
    const payload = parsePayload(text);
    if (!payload || payload.by === this.#context.by) return;
    if (!payload.range) {
      this.#tell(payload.stream, payload.events);
      return;
    }
    if (this.#waiting >= LOOK_UPS) return;
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
      const rows = await connections.read("notify", {
        text: `select id, name from ${names.events}
  where stream = $1::text and id between $2::bigint and $3::bigint order by id limit ${LOOK_UP}`,
        params: [stream, range.from, range.to],
      });
      this.#tell(stream, rows.map(toEvent));
    } catch {
      // The log can't be read now: polling finds the events.
    }
  }

  async #catchUp(): Promise<void> {
    if (this.#ended) return;
    const { names, connections } = this.#context;
    const known = this.#known();
    try {
      // A log that ends below what is known was restored and numbered anew: then all that it holds is news.
      const rows = await connections.read("notify", {
        text: `select id, name, stream from ${names.events}
  where id > coalesce((select $1::bigint where $2::bigint <= (select max(id) from ${names.events})), -1)
  order by id desc limit ${CATCH_UP}`,
        params: [this.#position, known],
      });
      const [newest] = rows;
      if (!newest) return;
      this.#position = Number(newest.id);
      if (this.#position < known) {
        this.#received.clear();
        this.#own.ids.clear();
      }
      // A commit of our own may be among the rows while its answer is still on its way.
      await this.#own.settled();
      const missed = rows.filter((row) => !this.#knows(Number(row.id), String(row.stream))).reverse();
      for (const [stream, events] of Map.groupBy(missed, (row) => String(row.stream)))
        this.#call(stream, events.map(toEvent));
    } catch {
      // The log can't be read now: polling finds the events.
    }
  }

  /** The highest id that the log, an own commit or a payload has shown. */
  #known(): number {
    let highest = Math.max(this.#position, this.#own.ids.highest ?? -1);
    for (const id of this.#received.keys()) highest = Math.max(highest, id);
    return highest;
  }

  #knows(id: number, stream: string): boolean {
    return this.#own.ids.has(id) || this.#received.get(id) === stream;
  }

  /** Calls the handler, and notes the events for the next catch-up. */
  #tell(stream: string, events: EventRef[]): void {
    for (const { id } of events) {
      // Set anew, a key moves to the end: the first one is always the oldest.
      this.#received.delete(id);
      this.#received.set(id, stream);
    }
    for (const id of this.#received.keys()) {
      if (this.#received.size <= CATCH_UP) break;
      this.#received.delete(id);
    }
    this.#call(stream, events);
  }

  #call(stream: string, events: EventRef[]): void {
    if (this.#ended || events.length === 0) return;
    const failed = (error: unknown) =>
      log().error(
        `[act-drizzle] a notify handler failed: ${error instanceof Error ? error.name : "not an Error"}`,
      );
    try {
      // Typed to return nothing, but an async function fits that type.
      const result: unknown = this.#handler({ stream, events });
      Promise.resolve(result).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

const toEvent = (row: Row): EventRef => ({ id: Number(row.id), name: String(row.name) });
