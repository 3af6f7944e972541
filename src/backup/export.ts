/** Writes the log, or a part of it, as lines. Reads page by page, so that memory is bounded on a log of any size. */
import { createHash } from "node:crypto";
import type { Context } from "../context.ts";
import type { Query, StoreConnections } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import { toPattern } from "../values/pattern.ts";
import { checkGiven, FLAG, FUNCTION, ID, oneOf, type Rules, TEXT, TEXTS } from "../values/rules.ts";
import { CSV_LINE, csvOf, type LinePage } from "./csv.ts";
import { footerOf, HEADER, LINE } from "./event-lines.ts";
import { PatternPages } from "./pattern-pages.ts";
import { StreamPages } from "./stream-pages.ts";

/** How far an export is. */
export type ExportProgress = {
  readonly events: number;
  /**
   * `id`: of the last event that was exported. `lastId`: where the export ends: the highest id that the log had when it
   * began, or `before` - 1 if that is lower.
   */
  readonly id: number;
  readonly lastId: number;
};

/** Which events to export. Without any of these: all of the log. */
export type ExportOptions = {
  /** Name of a stream, or a pattern as for `query`. Default: all streams. */
  readonly stream?: string | undefined;
  readonly streamExact?: boolean | undefined;
  /** Names of streams, instead of `stream`. */
  readonly streams?: readonly string[] | undefined;
  /** Exclusive bounds of the ids. */
  readonly after?: number | undefined;
  readonly before?: number | undefined;
  /**
   * `jsonl` (default): JSON lines, which keep everything. `csv`: the framework's own format, with ids from 1, times to
   * the millisecond, and without personal data.
   */
  readonly format?: "jsonl" | "csv" | undefined;
  /** Called after each page, of 250 events at most. */
  readonly onProgress?: ((progress: ExportProgress) => void) | undefined;
};

const RULES: Rules<ExportOptions> = {
  stream: TEXT,
  streamExact: FLAG,
  streams: TEXTS,
  after: ID,
  before: ID,
  format: oneOf("jsonl", "csv"),
  onProgress: FUNCTION,
};

/**
 * Most events of the first page, and of each later one. Of the first nobody knows yet how long its events are. Pages are
 * small, so that V8 frees them while they are young: with pages of 2,000 events the process grew to 374 MB, because V8
 * collects old garbage late.
 */
const FIRST_PAGE = 100;
const PAGE = 250;
/** Most characters of a page. */
const BUDGET = 1_000_000;

/** A page of the whole log. `line`: the row `e` as text. $1 the id before the page, $2 the last id to read, $3 limit */
const logQuery = (names: Names, line: string, after: number, last: number, limit: number): Query => ({
  text: `select e.id, ${line} as line from ${names.events} e where e.id > $1::bigint and e.id <= $2::bigint
order by e.id limit $3::bigint`,
  params: [after, last, limit],
});

/** What was written. */
export type ExportEnd = {
  readonly events: number;
  readonly firstId: number;
  readonly lastId: number;
  readonly sha256: string;
};

/** A log that can be read: by a store's connections, or inside one transaction. */
export type LogSource = { readonly names: Names; readonly connections: Pick<StoreConnections, "read"> };

/**
 * Makes the query of the page after an id. It selects `id` and `line`; `line` is null for an event that has just been
 * deleted.
 */
type PageQuery = (after: number, limit: number) => Query | Promise<Query>;

/** Reads the rows, page by page. */
export async function* pagesOf(
  { connections }: LogSource,
  page: PageQuery,
  after = -1,
): AsyncGenerator<LinePage, void> {
  let [id, limit] = [after, FIRST_PAGE];
  for (;;) {
    const found = await connections.read("export", await page(id, limit));
    const rows = found
      .filter(({ line }) => line !== null)
      .map((row) => ({ id: Number(row.id), line: String(row.line) }));
    id = Number(found.at(-1)?.id ?? id);
    if (rows.length > 0) yield rows;
    if (found.length < limit) return;
    if (rows.length === 0) continue;
    // As many events as fit into the budget, if the next ones are like these.
    const length = rows.reduce((sum, { line }) => sum + line.length, 0);
    limit = Math.max(1, Math.min(PAGE, Math.floor((BUDGET * rows.length) / length)));
  }
}

/** Header, the lines of every page, footer. `page`: see {@link pagesOf}. */
export async function* exportRows(
  context: LogSource,
  page: PageQuery,
  onEnd: (end: ExportEnd) => void,
  {
    after = -1,
    onPage,
  }: { readonly after?: number; readonly onPage?: (events: number, id: number) => unknown } = {},
): AsyncGenerator<string, void> {
  const hash = createHash("sha256");
  let [events, firstId, lastId] = [0, 0, after];
  yield `${HEADER}\n`;
  for await (const rows of pagesOf(context, page, after)) {
    const text = rows.map(({ line }) => `${line}\n`).join("");
    if (events === 0) firstId = rows[0]?.id ?? 0;
    hash.update(text);
    events += rows.length;
    lastId = rows.at(-1)?.id ?? lastId;
    yield text;
    await onPage?.(events, lastId);
  }
  yield `${footerOf(events, hash)}\n`;
  onEnd({ events, firstId, lastId, sha256: hash.digest("hex") });
}

/**
 * Yields text: a header, the events up to the last one that exists when it begins, and for JSON lines a footer. Events
 * that are committed later are left out. Events that a truncate deletes meanwhile may be missing.
 *
 * @throws StoreError if the database fails.
 */
export async function* exportEvents(
  context: Context,
  options: ExportOptions = {},
): AsyncGenerator<string, void> {
  checkGiven("export", options, RULES);
  const { names, connections } = context;
  const { before = Number.MAX_SAFE_INTEGER, after = -1, onProgress, format = "jsonl" } = options;
  const [row] = await connections.read("export", {
    text: `select coalesce(max(id), 0) as last from ${names.events}`,
  });
  const lastId = Math.min(Number(row?.last), before - 1);
  const onPage = (events: number, id: number) => onProgress?.({ events, id, lastId });
  const {
    stream,
    streamExact,
    streams = streamExact && stream !== undefined ? [stream] : undefined,
  } = options;
  const page = (line: string): PageQuery => {
    if (streams === undefined) {
      const pattern = stream === undefined ? undefined : toPattern("stream", stream);
      return pattern === undefined || pattern.kind === "any"
        ? (from, limit) => logQuery(names, line, from, lastId, limit)
        : new PatternPages(names, connections, { pattern, lastId, line }).page;
    }
    const cuts = [...new Set(streams)].map((each) => ({ stream: each, id: lastId + 1 }));
    return new StreamPages(names, connections, cuts, line).page;
  };
  if (format === "csv") yield* csvOf(pagesOf(context, page(CSV_LINE), after), onPage);
  else yield* exportRows(context, page(LINE), () => {}, { after, onPage });
}
