/**
 * query(): pages by key until the callback has seen everything. No connection is held while the callback
 * runs, and a page ends at a budget of characters, so a log of any size goes through in bounded memory.
 */
import type { Query as ActQuery, Committed, Schemas } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { guard, toStoreError } from "../errors.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query, Row } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import { type DecodeEvent, type Event, eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { afterPrefix, toPattern } from "../values/pattern.ts";
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
/** Events of each further page: whoever reads that far reads the log, and memory counts. */
const PAGE = 1_000;
/** Characters of JSON after which a page ends early. */
const BUDGET = 16_000_000;

/** `newest`: of the events delivered, once there are some. */
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

/** Strictly greater: of whole ids, greater than the whole part. Strictly less: less than the next whole. */
const below = (id: number) => toId(Math.ceil(id));
const above = (id: number) => toId(Math.floor(id));

/** Julian day 0, the earliest timestamp of PostgreSQL, in ms. */
const EARLIEST = -210_866_803_200_000;
const timestamp = (where: Conditions, ms: number) =>
  `to_timestamp(${where.param(Math.max(EARLIEST, ms))}::float8 / 1000)`;

/** Events under a prefix for them to be read by their index, and sorted; more are read in order of id. */
const FEW = 300;

/**
 * The range of a ^prefix as a condition. Its index finds events in order of their streams, and the planner can't
 * tell whether to sort these or to walk the log until the page is full: it guesses 1 % of the log for any prefix.
 * So what the index finds is counted first, up to a limit. `hide` after the column keeps the index out of the plan.
 */
function prefixRange(q: ActQuery, where: Conditions): ((hide: string) => string) | undefined {
  const pattern = q.stream && !q.stream_exact ? toPattern("stream", q.stream) : undefined;
  if (pattern?.kind !== "prefix") return undefined;
  const from = where.param(pattern.text);
  const end = afterPrefix(pattern.text);
  const to = end === undefined ? undefined : where.param(end);
  return (hide) =>
    `(e.stream${hide}) ~>=~ ${from}::text${to ? ` and (e.stream${hide}) ~<~ ${to}::text` : ``}`;
}

/** One page. `range` replaces the query's own bounds once a cursor has moved. */
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
  // Times are shown in milliseconds: later than 12:00:00.001 is from 12:00:00.002 on.
  if (q.created_after) where.add(`e.created >= ${timestamp(where, q.created_after.getTime() + 1)}`);
  if (q.created_before) where.add(`e.created < ${timestamp(where, q.created_before.getTime())}`);
  // Of the snapshots that were there when the query began. A cursor that moves up has left the floor behind.
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
 * Calls `callback` with each matching event, in order of id (descending if `backward`), waiting for it,
 * and returns how many there were. See {@link ActQuery} for the filters; a falsy `limit` is none.
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
  // Falsy is no limit; the reference delivers one event before it notices a negative one.
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
    const { rows, cut } = await connections.readPage("query", pageQuery(names, q, range, limit), BUDGET);
    const decode = await guard("query", () => reader.forRows(rows));
    for (const row of rows) {
      const seen: unknown = callback(readEvent(decode, row) as Committed<E, keyof E>);
      // A callback that returns nothing is not waited for: a turn of the event loop for each event adds up.
      if (seen !== undefined && seen !== null) await seen;
      count++;
    }
    const found = rows.length;
    const [first, last] = [Number(rows[0]?.id), Number(rows.at(-1)?.id)];
    // The driver's finished queries hold one another until the next full collection: not the events with them.
    rows.length = 0;
    // A page that was cut short holds an event at least.
    if (count >= wanted || (!cut && found < limit)) return count;
    // The next page is as large as what fitted this time.
    size = Math.min(size, cut ? found : PAGE);
    range = q?.backward
      ? { ...range, before: last, newest: range.newest ?? first }
      : { ...range, after: last };
  }
}
