/**
 * notify(): tells the app what other processes commit. The channel and the payload `{ stream, events, by }` are
 * act-pg's, so that both hear each other. A payload too long for NOTIFY comes shortened to a range of ids and
 * is completed from the log; what was sent while the connection was away is looked up there too. A hint, not a
 * contract: the app polls as well, so nothing here may fail loudly.
 */
import { log, type NotifyDisposer, type StoreNotification } from "@rotorsoft/act";
import { checkFunction } from "../codec/input.ts";
import { isRecord } from "../codec/json.ts";
import type { Listener, Row } from "../connections/index.ts";
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";

export type Handler = (notification: StoreNotification) => void;

type Heard = {
  readonly stream: string;
  readonly by?: string;
  readonly events: { readonly id: number; readonly name: string }[];
  readonly from?: number;
  readonly to?: number;
};

/** Events looked up after an absence: a wake-up for each stream is enough, the app reads the rest itself. */
const CATCH_UP = 1_000;

/** What was heard before, and which later ids need not be told: heard meanwhile, or committed here. */
type Absence = { readonly from: number; readonly known: Range[] };
type Range = { readonly from: number; readonly to: number };

/** A payload in our form or act-pg's; undefined for anything else. */
export function parsePayload(payload: string): Heard | undefined {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || typeof value.stream !== "string" || !Array.isArray(value.events)) return undefined;
  const events: { id: number; name: string }[] = [];
  for (const event of value.events) {
    if (!isRecord(event) || typeof event.id !== "number" || typeof event.name !== "string") return undefined;
    events.push({ id: event.id, name: event.name });
  }
  const { stream, by, from, to } = value;
  return {
    stream,
    events,
    by: typeof by === "string" ? by : undefined,
    from: typeof from === "number" ? from : undefined,
    to: typeof to === "number" ? to : undefined,
  };
}

/** One listener of one store. A second notify() replaces the first. */
export class Notifier {
  readonly #context: Context;
  #listener: Listener | undefined;
  /** The highest id heard of; undefined until the first LISTEN has looked it up. */
  #head: number | undefined;
  /** While the connection is away, and until that is made up for. */
  #away: Absence | undefined;
  /** Own commits that are behind no notification yet: it never comes if the connection is gone by now. */
  #unheard: Range[] = [];
  readonly #committing = new Set<Promise<unknown>>();
  #turn = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  async start(handler: Handler): Promise<NotifyDisposer> {
    checkFunction("notify", "handler", handler);
    const turn = ++this.#turn;
    await this.#listener?.stop();
    this.#listener = undefined;
    const current = () => this.#turn === turn;
    const listener = await guard("notify", () =>
      this.#context.connections.listen({
        channel: this.#context.names.channel,
        heard: (payload) => void (current() && this.#heard(payload, handler)),
        lost: () => {
          this.#away ??= { from: this.#head ?? -1, known: this.#unheard };
          this.#unheard = [];
        },
        back: () => void (current() && this.#catchUp(handler)),
      }),
    );
    if (!current()) {
      await listener.stop();
      return () => {};
    }
    this.#listener = listener;
    this.#away = undefined;
    try {
      this.#head = await this.#readHead();
    } catch (error) {
      await listener.stop();
      throw error;
    }
    return async () => {
      if (!current()) return;
      this.#listener = undefined;
      await listener.stop();
    };
  }

  /** The append path tells of its own commits, so that catching up can leave them out. */
  committing(commit: Promise<readonly { readonly id: number }[]>): void {
    const noted = commit.then(
      (events) => this.#committed(events.map((event) => event.id)),
      () => {},
    );
    this.#committing.add(noted);
    void noted.then(() => this.#committing.delete(noted));
  }

  #committed(ids: readonly number[]): void {
    const range = rangeOf(ids);
    if (!range) return;
    if (this.#away) this.#away.known.push(range);
    else if (this.#listener && range.to > (this.#head ?? -1)) this.#unheard.push(range);
  }

  async #readHead(): Promise<number> {
    const { names, connections } = this.#context;
    const [row] = await connections.read("notify", {
      text: `select id from ${names.events} order by id desc limit 1`,
    });
    return Math.max(this.#head ?? -1, Number(row?.id ?? -1));
  }

  async #heard(payload: string, handler: Handler): Promise<void> {
    const heard = parsePayload(payload);
    if (!heard) return;
    const last = heard.events.at(-1)?.id ?? heard.to;
    if (last !== undefined) this.#head = Math.max(this.#head ?? -1, last);
    while (this.#unheard[0] && this.#unheard[0].to <= (this.#head ?? -1)) this.#unheard.shift();
    const range = rangeOf(heard.events.length > 0 ? heard.events.map((e) => e.id) : [heard.from, heard.to]);
    if (range) this.#away?.known.push(range);
    if (heard.by === this.#context.by) return;
    if (heard.events.length > 0) return this.#call(handler, heard.stream, heard.events);
    if (heard.from === undefined || heard.to === undefined) return;
    try {
      await this.#complete(handler, heard.stream, heard.from, heard.to);
    } catch {
      // The log can't be read now: polling finds the events.
    }
  }

  async #complete(handler: Handler, stream: string, from: number, to: number): Promise<void> {
    const { names, connections } = this.#context;
    const rows = await connections.read("notify", {
      text: `select id, name from ${names.events} where stream = $1::text and id between $2::bigint and $3::bigint order by id`,
      params: [stream, from, to],
    });
    this.#call(handler, stream, rows.map(toEvent));
  }

  async #catchUp(handler: Handler): Promise<void> {
    const away = this.#away;
    if (!away) return;
    const { names, connections } = this.#context;
    try {
      const rows = await connections.read("notify", {
        text: `select id, name, stream from ${names.events}
  where id > coalesce((select $1::bigint where $1::bigint <= (select max(id) from ${names.events})), -1)
  order by id desc limit ${CATCH_UP}`,
        params: [away.from],
      });
      const head = Number(rows[0]?.id ?? -1);
      // Below what was heard before: a restore has renumbered the log, and all that is there is news.
      this.#head = rows.length > 0 && head < away.from ? head : Math.max(this.#head ?? -1, head);
      // A commit of our own may be among them whose answer is still under way.
      await Promise.all(this.#committing);
      const missed = rows
        .filter(({ id }) => !away.known.some(({ from, to }) => Number(id) >= from && Number(id) <= to))
        .reverse();
      for (const { id } of missed) away.known.push({ from: Number(id), to: Number(id) });
      if (this.#away === away && this.#listener?.listening) this.#away = undefined;
      for (const [stream, events] of Map.groupBy(missed, (row) => String(row.stream)))
        this.#call(handler, stream, events.map(toEvent));
    } catch {
      // The log can't be read now: polling finds the events.
    }
  }

  #call(handler: Handler, stream: string, events: { id: number; name: string }[]): void {
    if (events.length === 0) return;
    const failed = (error: unknown) =>
      log().error(
        `[act-drizzle] a notify handler failed: ${error instanceof Error ? error.name : "not an Error"}`,
      );
    try {
      // Typed to return nothing, but an async function fits that type.
      const result: unknown = handler({ stream, events });
      Promise.resolve(result).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

function rangeOf(ids: readonly (number | undefined)[]): Range | undefined {
  const [from] = ids;
  const to = ids.at(-1);
  return from === undefined || to === undefined ? undefined : { from, to };
}

const toEvent = (row: Row) => ({ id: Number(row.id), name: String(row.name) });
