/** Writes the log, or a part of it, as lines. Reads page by page, so that memory is bounded on a log of any size. */
import { createHash } from "node:crypto";
import { Conditions } from "../postgres/conditions.ts";
import type { Database, Query } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import type { Names } from "../schema/names.ts";
import { footerOf, HEADER, LINE } from "./event-lines.ts";

/** How far an export is. */
export type ExportProgress = {
  readonly events: number;
  /** The id up to which events are exported, and the id of the last one to export. */
  readonly id: number;
  readonly lastId: number;
};

/** Which events to export. Without any of these: all of the log. */
export type ExportOptions = {
  /** Name of a stream, or a pattern as for `query`. Default: all streams. */
  readonly stream?: string | undefined;
  readonly streamExact?: boolean | undefined;
  /** Streams by name, instead. */
  readonly streams?: readonly string[] | undefined;
  /** Exclusive bounds of the ids. */
  readonly after?: number | undefined;
  readonly before?: number | undefined;
  /** Called after each page, of 2,000 events at most. */
  readonly onProgress?: ((progress: ExportProgress) => void) | undefined;
};

/** Events of the first page, whose size is not known, and of each further one at most. */
const FIRST_PAGE = 100;
const PAGE = 2_000;
/** Characters of a page. */
const BUDGET = 4_000_000;

/** A page behind `after` up to `last`. */
function exportQuery(
  names: Names,
  options: ExportOptions,
  after: number,
  last: number,
  limit: number,
): Query {
  const where = new Conditions();
  const { stream, streamExact, streams } = options;
  if (stream !== undefined) where.match("stream", "e.stream", stream, streamExact);
  if (streams !== undefined) where.add(`e.stream = any(${where.param(textArray(streams))}::text[])`);
  where.add(`e.id > ${where.param(after)}::bigint`);
  where.add(`e.id <= ${where.param(last)}::bigint`);
  return {
    text: `select e.id, ${LINE} as line from ${names.events} e${where.where} order by e.id limit ${where.param(limit)}::bigint`,
    params: where.params,
  };
}

/** What was written. */
export type ExportEnd = {
  readonly events: number;
  readonly firstId: number;
  readonly lastId: number;
  readonly sha256: string;
};

/** Where a log is read: a store, or the transaction that holds its tables. */
export type Readable = { readonly names: Names; readonly connections: Pick<Database, "read"> };

/** Header, the lines of every page, footer. `page` is the query of the page behind an id. */
export async function* exportRows(
  { connections }: Readable,
  page: (after: number, limit: number) => Query,
  onEnd: (end: ExportEnd) => void,
  {
    after = -1,
    onPage,
  }: { readonly after?: number; readonly onPage?: (events: number, id: number) => void } = {},
): AsyncGenerator<string, void> {
  const hash = createHash("sha256");
  let [events, firstId, id] = [0, 0, after];
  yield `${HEADER}\n`;
  let limit = FIRST_PAGE;
  for (;;) {
    const rows = await connections.read("export", page(id, limit));
    const text = rows.map(({ line }) => `${line}\n`).join("");
    if (rows.length > 0) {
      if (events === 0) firstId = Number(rows[0]?.id);
      hash.update(text);
      events += rows.length;
      id = Number(rows.at(-1)?.id);
      yield text;
      onPage?.(events, id);
    }
    if (rows.length < limit) break;
    // As many events as fit into the budget, if the next ones are like these.
    limit = Math.max(1, Math.min(PAGE, Math.floor((BUDGET * rows.length) / text.length)));
  }
  yield `${footerOf(events, hash)}\n`;
  onEnd({ events, firstId, lastId: id, sha256: hash.digest("hex") });
}

/**
 * Yields text: header, events up to the last one that exists when it begins, footer. Everything that is committed later
 * is left out. Events that a truncate deletes meanwhile may be missing.
 *
 * @throws StoreError if the database fails.
 */
export async function* exportEvents(
  context: Readable,
  options: ExportOptions = {},
): AsyncGenerator<string, void> {
  const { names, connections } = context;
  const { before = Number.MAX_SAFE_INTEGER, after = -1, onProgress } = options;
  const [row] = await connections.read("export", {
    text: `select coalesce(max(id), 0) as last from ${names.events}`,
  });
  const lastId = Math.min(Number(row?.last), before - 1);
  yield* exportRows(
    context,
    (from, limit) => exportQuery(names, options, from, lastId, limit),
    () => {},
    {
      after,
      onPage: (events, id) => onProgress?.({ events, id, lastId }),
    },
  );
}
