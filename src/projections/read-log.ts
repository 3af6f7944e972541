/**
 * Reads the log in ranges of ids, several at once, for rebuilds: filtered by name on the server, which sends each range
 * as one JSON text. A text is parsed in a fraction of the time that rows of the driver take.
 */
import { contextOf } from "../context.ts";
import { textArray } from "../postgres/parameters.ts";
import { millisOf } from "../schema/event-rows.ts";
import { positionText } from "../schema/replica-texts.ts";
import type { PostgresStore } from "../store.ts";
import { isRecord } from "../values/json-dates.ts";
import { markOf } from "./log-mark.ts";
import type { StoredEvent } from "./reactions.ts";

/** Ranges that are read at the same time. With more, memory grows and speed does not: one thread parses and applies. */
const AT_ONCE = 3;
const FIRST_IDS = 1_000;
const MAX_IDS = 1_000_000;
/** Bytes, as stored, of a range that is sent as one text: a larger one is read in halves. */
const BUDGET = 8_000_000;
/** Characters that a text should have. */
const TEXT = 6_000_000;

export type Page = {
  readonly events: readonly StoredEvent[];
  /** The ids that the page covers: greater than `after`, up to `to`. */
  readonly after: number;
  readonly to: number;
};

/**
 * $1, $2: the ids; $3: the names; $4: the budget. One JSON list for each column: 20 % faster than a list for each event.
 * `meta` is two thirds of the text of a small event, so it is sent only if it is asked for.
 */
const statement = (events: string, meta: boolean) => `
  with page as materialized (
    select id, array_position($3::text[], name) as name, stream, version, data, ${meta ? "meta" : "null::jsonb as meta"},
      dates, pii, ${millisOf("e.created")} as created
    from ${events} e where id > $1::bigint and id <= $2::bigint and name = any($3::text[]) order by id
  )
  select case
    when (select sum(pg_column_size(data) + coalesce(pg_column_size(pii), 0)) from page) > $4::bigint then null
    else (select concat('{"id":[', string_agg(id::text, ','), '],"name":[', string_agg(name::text, ','),
      '],"stream":', coalesce(json_agg(stream)::text, '[]'), ',"version":[', string_agg(version::text, ','),
      '],"data":[', string_agg(data::text, ','),
      ${meta ? `'],"meta":[', string_agg(meta::text, ','),` : ""}
      '],"dates":[', string_agg(coalesce(dates::text, 'null'), ','),
      '],"pii":[', string_agg(coalesce(pii::text, 'null'), ','),
      '],"created":[', string_agg(created::text, ','), ']}') from page)
    end as page`;

const listOf = (columns: Record<string, unknown>, name: string): readonly unknown[] => {
  const list = columns[name];
  return Array.isArray(list) ? list : [];
};

export class LogReader {
  readonly #store: PostgresStore;
  readonly #names: readonly string[];
  readonly #meta: boolean;
  readonly #batchSize: number;
  /** The primary's WAL position when the head was read; undefined without replicas. */
  #lsn: string | undefined;

  /** `batchSize`: the most events of a page. */
  constructor(
    store: PostgresStore,
    names: readonly string[],
    { meta, batchSize }: { readonly meta: boolean; readonly batchSize: number },
  ) {
    this.#store = store;
    this.#names = names;
    this.#meta = meta;
    this.#batchSize = batchSize;
  }

  /** The id of the last event; -1 in an empty log. Ids become visible in order, so no lower id appears later. */
  async head(): Promise<number> {
    const { names, connections } = contextOf(this.#store);
    const text = connections.seen
      ? positionText(names)
      : `select coalesce(max(id), -1)::text as head from ${names.events}`;
    const [row] = await connections.read("rebuild", { text, params: [] });
    // A replica that has replayed up to this position has also replayed every erasure of pii before it.
    this.#lsn = typeof row?.lsn === "string" ? row.lsn : undefined;
    return Number(row?.head ?? -1);
  }

  /** The mark of the event with this id as it is now; undefined if there is none. */
  async markAt(id: number): Promise<string | undefined> {
    const { names, connections } = contextOf(this.#store);
    const query = {
      text: `select stream, version, name, ${millisOf("e.created")} as created from ${names.events} e where id = $1::bigint`,
      params: [id],
    };
    const [row] = await connections.readSeen("rebuild", query, { event: id, lsn: this.#lsn });
    if (!row) return undefined;
    const { stream, version, name, created } = row;
    const at = new Date(Number(created));
    return markOf({ id, stream: String(stream), version: Number(version), name: String(name), created: at });
  }

  /** Every event with an id greater than `after` and up to `to`, in order of id. */
  async *read(after: number, to: number): AsyncGenerator<Page> {
    const running: { range: Range; text: Promise<string | undefined> }[] = [];
    let ids = FIRST_IDS;
    let next = after;
    const start = (range: Range) => {
      const text = this.#textOf(range, BUDGET);
      // A failure is thrown when this page is read.
      text.catch(() => {});
      return { range, text };
    };
    while (next < to || running.length > 0) {
      while (running.length < AT_ONCE && next < to) {
        const range = { after: next, to: Math.min(next + ids, to) };
        running.push(start(range));
        next = range.to;
      }
      const first = running.shift();
      if (!first) return;
      const text = await first.text;
      let events = 0;
      for await (const page of this.#pages(first.range, text)) {
        events += page.events.length;
        yield page;
      }
      ids = this.#nextLength(first.range, ids, events, text);
    }
  }

  /**
   * How many ids the next range should have, after one with `events` events. A range that is too large costs a read in
   * vain, so the next one is half as long.
   */
  #nextLength({ after, to }: Range, ids: number, events: number, text: string | undefined): number {
    if (text === undefined) return Math.max(1, Math.floor((to - after) / 2));
    if (events === 0) return Math.min(ids * 4, MAX_IDS);
    const wanted = Math.min(this.#batchSize / events, TEXT / text.length) * (to - after);
    return Math.max(1, Math.min(Math.floor(wanted), ids * 4, MAX_IDS));
  }

  /** The pages of a range. A range that was too large for one text is read in halves, one after the other. */
  async *#pages(range: Range, text: string | undefined): AsyncGenerator<Page> {
    if (text !== undefined) {
      const events = await this.#decode(text);
      let { after } = range;
      // A range may hold more events than the range before it suggested.
      for (let n = 0; n < events.length - this.#batchSize; n += this.#batchSize) {
        const page = events.slice(n, n + this.#batchSize);
        const to = page.at(-1)?.id ?? after;
        yield { after, to, events: page };
        after = to;
      }
      const rest = events.length % this.#batchSize || Math.min(events.length, this.#batchSize);
      yield { after, to: range.to, events: events.slice(events.length - rest) };
      return;
    }
    const middle = Math.floor((range.after + range.to) / 2);
    for (const half of [
      { after: range.after, to: middle },
      { after: middle, to: range.to },
    ])
      yield* this.#pages(half, await this.#textOf(half, BUDGET));
  }

  async #textOf({ after, to }: Range, budget: number): Promise<string | undefined> {
    const { names, connections } = contextOf(this.#store);
    // A single event is sent whatever its size.
    const limit = to - after > 1 ? budget : Number.MAX_SAFE_INTEGER;
    const query = {
      text: statement(names.events, this.#meta),
      params: [after, to, textArray([...this.#names]), limit],
    };
    const [row] = await connections.readSeen("rebuild", query, { event: to, lsn: this.#lsn });
    return typeof row?.page === "string" ? row.page : undefined;
  }

  async #decode(text: string): Promise<StoredEvent[]> {
    const columns: unknown = JSON.parse(text);
    if (!isRecord(columns)) return [];
    const [streams, versions, data, dates] = ["stream", "version", "data", "dates"].map((name) =>
      listOf(columns, name),
    );
    const [names, meta, pii, created] = ["name", "meta", "pii", "created"].map((name) =>
      listOf(columns, name),
    );
    const rows = listOf(columns, "id").map((id, n) => ({
      id,
      name: this.#names[Number(names?.[n]) - 1],
      stream: streams?.[n],
      version: versions?.[n],
      data: data?.[n],
      meta: meta?.[n],
      dates: dates?.[n],
      pii: pii?.[n] ?? null,
      created: created?.[n],
    }));
    const decode = await contextOf(this.#store).reader.forRows(rows);
    return rows.map(decode);
  }
}

type Range = { readonly after: number; readonly to: number };
