/**
 * Pages of the events whose stream matches a pattern, in order of id. The ids are looked up first, many at once, and the pages
 * are then read by id. With one statement for each page, the planner walked the whole log for a page of a rare pattern.
 *
 * - A pattern that begins with literal text, and has up to a million events: by the index of streams and ids.
 * - Any other: part by part of the log, so that no statement reads all of it.
 */
import { readByIndex } from "../postgres/by-index.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query, StoreConnections } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import type { Pattern } from "../values/pattern.ts";
import { linesQuery } from "./stream-pages.ts";

/** Most events of a prefix that are looked up through the index, and the number of ids that one look-up returns. */
const BY_PREFIX = 1_000_000;
const IDS = 100_000;
/** Size of the first part of the log and of the largest, in ids. It doubles while a part takes less than this many ms. */
const FIRST_PART = 10_000;
const LARGEST_PART = 200_000;
const QUICK_MS = 100;

export type PatternOptions = {
  readonly pattern: Pattern;
  /** The last id to read. */
  readonly lastId: number;
  /** The row `e` as text. */
  readonly line: string;
};

export class PatternPages {
  readonly #names: Names;
  readonly #connections: Pick<StoreConnections, "read" | "readWith">;
  readonly #options: PatternOptions;
  /** The next ids, in order; up to `#searched` all are known. */
  #ids: number[] = [];
  #searched: number | undefined;
  #part = FIRST_PART;
  #byPrefix: boolean | undefined;

  constructor(
    names: Names,
    connections: Pick<StoreConnections, "read" | "readWith">,
    options: PatternOptions,
  ) {
    this.#names = names;
    this.#connections = connections;
    this.#options = options;
  }

  /** The query of the page after `after`: an id and a line for each event. The line of a deleted event is null. */
  readonly page = async (after: number, limit: number): Promise<Query> => {
    const known = this.#ids.findIndex((id) => id > after);
    this.#ids = known < 0 ? [] : this.#ids.slice(known);
    this.#searched ??= after;
    this.#byPrefix ??= await this.#isFew();
    while (this.#ids.length < limit && this.#searched < this.#options.lastId)
      this.#searched = await (this.#byPrefix ? this.#lookUp(this.#searched) : this.#search(this.#searched));
    return linesQuery(this.#names, this.#options.line, this.#ids.slice(0, limit));
  };

  get #prefix(): string | undefined {
    const { pattern } = this.#options;
    if (pattern.kind === "equals" || pattern.kind === "prefix") return pattern.text;
    return pattern.kind === "regex" ? pattern.prefix : undefined;
  }

  /** Whether few enough events have the pattern's prefix. Parameters: the prefix, and the first string after its range */
  async #isFew(): Promise<boolean> {
    const prefix = this.#prefix;
    if (prefix === undefined) return false;
    const where = new Conditions();
    const { from, to } = where.prefixRange(prefix);
    const [row] = await readByIndex(this.#connections, "export", {
      text: `select count(*) as found from (select from ${this.#names.events} e
where ${[from("e.stream"), ...to("e.stream")].join(" and ")} order by e.stream using ~<~ limit ${BY_PREFIX + 1}) e`,
      params: where.params,
    });
    return Number(row?.found) <= BY_PREFIX;
  }

  /** The condition on `e`, and its parameters with the bounds of the ids. */
  #conditions(after: number, upTo: number): { where: Conditions; matches: string; ids: string } {
    const where = new Conditions();
    const matches = where.pattern("e.stream", this.#options.pattern) ?? "true";
    const ids = `e.id > ${where.param(after)}::bigint and e.id <= ${where.param(upTo)}::bigint`;
    return { where, matches, ids };
  }

  /**
   * The next ids of the prefix. `e.id + 0` and coalesce hide order and bounds from the primary key, by which the planner
   * would walk the log. Returns the id up to which all are known.
   */
  async #lookUp(after: number): Promise<number> {
    const { where, matches, ids } = this.#conditions(after, this.#options.lastId);
    const rows = await readByIndex(this.#connections, "export", {
      text: `select e.id from ${this.#names.events} e where ${matches} and coalesce(${ids}, false) order by e.id + 0 limit ${IDS}`,
      params: where.params,
    });
    return this.#add(rows, rows.length < IDS ? this.#options.lastId : Number(rows.at(-1)?.id));
  }

  /** The ids in the next part of the log. coalesce hides the pattern from the index of streams. */
  async #search(after: number): Promise<number> {
    const upTo = Math.min(this.#options.lastId, after + this.#part);
    const start = performance.now();
    const { where, matches, ids } = this.#conditions(after, upTo);
    const rows = await readByIndex(this.#connections, "export", {
      text: `select e.id from ${this.#names.events} e where ${ids} and coalesce(${matches}, false) order by e.id`,
      params: where.params,
    });
    if (performance.now() - start < QUICK_MS) this.#part = Math.min(LARGEST_PART, 2 * this.#part);
    this.#add(rows, upTo);
    return rows.length > 0 || upTo >= this.#options.lastId ? upTo : await this.#beforeNext(upTo);
  }

  /** Jumps over ids that no event has. $1 the id after which to look */
  async #beforeNext(id: number): Promise<number> {
    const [row] = await this.#connections.read("export", {
      text: `select min(id) as id from ${this.#names.events} where id > $1::bigint`,
      params: [id],
    });
    return row?.id === null || row?.id === undefined ? this.#options.lastId : Number(row.id) - 1;
  }

  #add(rows: readonly { readonly id?: unknown }[], upTo: number): number {
    for (const { id } of rows) this.#ids.push(Number(id));
    return upTo;
  }
}
