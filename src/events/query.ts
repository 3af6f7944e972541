/**
 * query(): reads page after page, each from behind the last id, until the callback has seen every event. No connection
 * is held while the callback runs, and a page ends at a budget of characters, so memory is bounded for a log of any
 * size.
 */
import type { Query as ActQuery, Committed, Schemas } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { guard, toStoreError } from "../errors.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query, Row } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import { type DecodeEvent, type Event, eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { toPattern } from "../values/pattern.ts";
import { toTime } from "../values/time.ts";
import {
  checkFlag,
  checkFunction,
  checkNumber,
  checkObject,
  checkOptionalText,
  checkTexts,
  invalid,
  toId,
} from "../values/validate.ts";

/** Events of the first page: a stream of usual length loads in one round trip. */
const FIRST_PAGE = 2_000;
/** Events of each further page. A query that goes on reads a large part of the log, and smaller pages take less memory. */
const PAGE = 1_000;
/** Characters of JSON after which a page ends early. Its connection is lost then, so that should be rare. */
const BUDGET = 16_000_000;
/** Characters that a page is to have, by the size of the events before it: large ones come in clusters. */
const WANTED = BUDGET * 0.75;

/**
 * Events of the next page, by those of the last one. A page never asks for much more than fits: each cut costs a
 * connection, and 400 events of 1 MB took 25.
 */
function nextSize(size: number, found: number, bytes: number): number {
  const fitting = Math.floor((WANTED * found) / Math.max(bytes, 1));
  // It grows slowly: one page of small events does not promise another.
  return Math.max(1, Math.min(fitting, PAGE, size * 2));
}

/** Ids, exclusive. `newest`: the highest id that was delivered; undefined before the first page. */
type Range = { readonly after?: number; readonly before?: number; readonly newest?: number };

function checkQuery(query: ActQuery): void {
  checkObject("query", "query", query);
  checkOptionalText("query", "stream", query.stream);
  checkOptionalText("query", "correlation", query.correlation);
  for (const flag of ["backward", "with_snaps", "stream_exact"] as const)
    checkFlag("query", flag, query[flag]);
  if (query.names !== undefined) checkTexts("query", "names", query.names);
  for (const name of ["after", "before", "limit"] as const)
    if (query[name] !== undefined && query[name] !== null) checkNumber("query", name, query[name]);
  for (const name of ["created_after", "created_before"] as const) {
    const value = query[name];
    if (value !== undefined && value !== null && !(value instanceof Date && Number.isFinite(value.getTime())))
      throw invalid("query", `${name} must be a valid Date`);
  }
}

/** Bounds may be fractions, ids are whole: greater than 1.5 is greater than 1, less than 1.5 is less than 2. */
const below = (id: number) => toId(Math.ceil(id));
const above = (id: number) => toId(Math.floor(id));

const timestamp = (where: Conditions, ms: number) =>
  `to_timestamp(${where.param(toTime(ms))}::float8 / 1000)`;

/** Up to so many events under a prefix are read by the index of their streams, and sorted. More are read in order of id. */
const FEW = 300;

/**
 * The range of a ^prefix as a condition; undefined for another filter.
 *
 * The index finds events in order of their streams. The planner cannot tell whether to sort these or to walk the log
 * until the page is full, because it expects 1 % of the log for any prefix. So the statement first counts what the
 * index finds, up to a limit. `hide`, put behind the column, keeps the index out of the plan.
 */
function prefixRange(q: ActQuery, where: Conditions): ((hide: string) => string) | undefined {
  const pattern = q.stream && !q.stream_exact ? toPattern("stream", q.stream) : undefined;
  if (pattern?.kind !== "prefix") return undefined;
  const { from, to } = where.prefixRange(pattern.text);
  return (hide) => [from(`(e.stream${hide})`), ...to(`(e.stream${hide})`)].join(" and ");
}

/**
 * One page. `range` stands for the query's own bounds, and moves from page to page.
 *
 * Which parameters there are depends on the filters. In this order: the first string of the prefix and the first one
 * behind it, or the pattern or name of the stream; the names, as text[]; the correlation; `after`; `before`;
 * `created_after` and `created_before`, in ms; for a load from the snapshot the newest id delivered and the stream;
 * the limit.
 */
export function pageQuery(names: Names, query: ActQuery | undefined, range: Range, limit: number): Query {
  const q: ActQuery = query ?? { with_snaps: true };
  const where = new Conditions();
  const prefix = prefixRange(q, where);
  if (q.stream && !prefix) where.match("stream", `e.stream`, q.stream, q.stream_exact);
  if (q.names) where.add(`e.name = any(${where.param(textArray(q.names))}::text[])`);
  if (q.correlation) where.add(`(e.meta ->> 'correlation') = ${where.param(q.correlation)}::text`);
  if (!q.with_snaps) where.add(`e.name <> '__snapshot__'`);
  if (range.after !== undefined) where.add(`e.id > ${where.param(above(range.after))}::bigint`);
  if (range.before !== undefined) where.add(`e.id < ${where.param(below(range.before))}::bigint`);
  // A reader sees milliseconds of the stored microseconds: later than .001 means from .002 on.
  if (q.created_after) where.add(`e.created >= ${timestamp(where, q.created_after.getTime() + 1)}`);
  if (q.created_before) where.add(`e.created < ${timestamp(where, q.created_before.getTime())}`);
  // The load begins at the newest snapshot that existed when the query began. Forward it is looked up for the first
  // page only: later pages start behind it.
  if (q.with_snaps && q.stream && q.stream_exact && range.after === undefined) {
    const known = range.newest === undefined ? `` : ` and s.id <= ${where.param(range.newest)}::bigint`;
    where.add(`e.id >= coalesce(
      (select s.id from ${names.events} s where s.stream = ${where.param(q.stream)}::text and s.name = '__snapshot__'${known} order by s.id desc limit 1), 0)`);
  }
  const cap = where.param(limit);
  const page = (conditions: string) => `select ${eventColumns(`e`, { pii: true })}
  from ${names.events} e${conditions}
  order by e.id${q.backward ? ` desc` : ``} limit ${cap}::bigint`;
  if (!prefix) return { text: page(where.where), params: where.params };
  const rest = where.where.replace(` where `, ` and `);
  const text = `with few as materialized (
  select e.id from ${names.events} e where ${prefix(``)} order by e.stream using ~<~ limit ${FEW + 1}
)
select * from (
  (${page(` where (select count(*) from few) <= ${FEW} and e.id = any(array(select id from few))${rest}`)})
  union all
  (${page(` where (select count(*) from few) > ${FEW} and ${prefix(` || ''`)}${rest}`)})
) e order by e.id${q.backward ? ` desc` : ``}`;
  return { text, params: where.params };
}

/** A row that can't be read is the store's failure, not the callback's. */
function readEvent(decode: DecodeEvent, row: Row): Event {
  try {
    return decode(row);
  } catch (error) {
    throw toStoreError("query", error);
  }
}

/**
 * Calls `callback` with each matching event, in order of id (descending if `backward`), waits for it, and returns how
 * many events there were. See {@link ActQuery} for the filters. A falsy `limit` means no limit.
 *
 * @throws whatever `callback` throws; ValidationError for a pattern that can't be matched exactly.
 */
export async function query<E extends Schemas>(
  { names, connections, reader }: Context,
  callback: (event: Committed<E, keyof E>) => void | Promise<void>,
  q?: ActQuery,
): Promise<number> {
  checkFunction("query", "callback", callback);
  if (q !== undefined && q !== null) checkQuery(q);
  // A falsy limit is none. Of a negative one InMemoryStore delivers one event before it notices.
  const wanted = q?.limit ? Math.max(1, q.limit) : Number.POSITIVE_INFINITY;
  let range: Range = { after: q?.after ?? undefined, before: q?.before ?? undefined };
  if (q?.names?.length === 0) {
    pageQuery(names, q, range, 0); // an invalid pattern is refused all the same
    return 0;
  }
  let size = FIRST_PAGE;
  let count = 0;
  for (;;) {
    const limit = Math.ceil(Math.min(size, wanted - count));
    const { rows, cut, bytes } = await connections.readPage(
      "query",
      pageQuery(names, q, range, limit),
      BUDGET,
      limit,
    );
    const decode = await guard("query", () => reader.forRows(rows));
    for (const row of rows) {
      const seen: unknown = callback(readEvent(decode, row) as Committed<E, keyof E>);
      // A callback that returns nothing is not awaited: a turn of the event loop for each event adds up.
      if (seen !== undefined && seen !== null) await seen;
      count++;
    }
    const found = rows.length;
    const [first, last] = [Number(rows[0]?.id), Number(rows.at(-1)?.id)];
    // The driver keeps finished queries, with their rows, until the next full garbage collection: the events can go now.
    rows.length = 0;
    // A page that was cut short holds at least one event.
    if (count >= wanted || (!cut && found < limit)) return count;
    size = nextSize(size, found, bytes);
    range = q?.backward
      ? { ...range, before: last, newest: range.newest ?? first }
      : { ...range, after: last };
  }
}
