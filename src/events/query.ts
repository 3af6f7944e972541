/**
 * query(): reads page after page, each after the last id of the one before, until the callback has got every event. No
 * connection is held while the callback runs, and a page ends at a budget of characters, so memory is bounded for a log
 * of every size.
 */
import type { Query as ActQuery, Committed, Schemas } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { guard, toStoreError } from "../errors.ts";
import type { Row } from "../postgres/index.ts";
import type { DecodeEvent, Event } from "../schema/event-rows.ts";
import { warnOfUnknown } from "../unknown-options.ts";
import { ANY, type Rules } from "../values/rules.ts";
import {
  checkFlag,
  checkFunction,
  checkNumber,
  checkObject,
  checkOptionalText,
  checkTexts,
  invalid,
} from "../values/validate.ts";
import { namesOf, type Range } from "./page-parts.ts";
import { pageQuery, pageSize } from "./page-query.ts";

/** Events of the first page: a stream of usual length loads in one round trip. */
const FIRST_PAGE = 2_000;
/** Events of each further page. A query that goes on reads a large part of the log, and smaller pages take less memory. */
const PAGE = 1_000;
/**
 * Size at which a page ends early: characters of JSON on a store's own connections, bytes of rows on shared ones and
 * replicas. Such a page closes the connection that it was read on, so it should be rare.
 */
const BUDGET = 16_000_000;
/** The size that the next page should have, if its events are as large as those of the last page. */
const WANTED = BUDGET * 0.75;

/**
 * How many events the next page asks for, from the size of the last page's events. Each page that ends early costs a
 * connection: without this, 400 events of 1 MB took 25 connections.
 */
function nextSize(size: number, found: number, read: number): number {
  const fitting = Math.floor((WANTED * found) / Math.max(read, 1));
  // At most twice the last size: after a page of small events the next may be large.
  return Math.max(1, Math.min(fitting, PAGE, size * 2));
}

const KNOWN: Rules<ActQuery> = {
  stream: ANY,
  stream_exact: ANY,
  names: ANY,
  correlation: ANY,
  after: ANY,
  before: ANY,
  created_after: ANY,
  created_before: ANY,
  with_snaps: ANY,
  backward: ANY,
  limit: ANY,
};

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

/** A row that can't be read is the store's failure, not the callback's. */
function readEvent(decode: DecodeEvent, row: Row): Event {
  try {
    return decode(row);
  } catch (error) {
    throw toStoreError("query", error);
  }
}

/**
 * Calls `callback` with each matching event, in order of id (descending if `backward`), waits for it, and returns the number
 * of events. See {@link ActQuery} for the filters. A falsy `limit` means no limit.
 *
 * @throws whatever `callback` throws; ValidationError for a pattern that can't be matched exactly.
 */
export async function query<E extends Schemas>(
  context: Context,
  callback: (event: Committed<E, keyof E>) => void | Promise<void>,
  q?: ActQuery,
): Promise<number> {
  const { names, connections, reader } = context;
  checkFunction("query", "callback", callback);
  if (q !== undefined && q !== null) {
    checkQuery(q);
    warnOfUnknown(context, "query", q, KNOWN);
  }
  // A falsy limit is no limit. With a negative limit InMemoryStore delivers one event, so this does as well.
  const wanted = q?.limit ? Math.max(1, q.limit) : Number.POSITIVE_INFINITY;
  let range: Range = { after: q?.after ?? undefined, before: q?.before ?? undefined };
  if (q && namesOf(q)?.length === 0) {
    pageQuery(names, q, range, 0); // throws for an invalid pattern
    return 0;
  }
  let size = pageSize(q, FIRST_PAGE);
  let count = 0;
  for (;;) {
    const limit = Math.ceil(Math.min(size, wanted - count));
    // A caller that asks for the events after an id has seen the event with that id.
    const {
      rows,
      cut,
      bytes: read,
    } = await connections.readPage("query", pageQuery(names, q, range, limit), {
      budget: BUDGET,
      limit,
      seen: q?.after ?? undefined,
    });
    const found = rows.length;
    const [first, last] = [Number(rows[0]?.id), Number(rows.at(-1)?.id)];
    // Recorded before the callback gets the rows, because it may read on, or throw.
    if (found > 0) connections.seen?.event(Math.max(first, last));
    const decode = await guard("query", () => reader.forRows(rows));
    for (const row of rows) {
      const returned: unknown = callback(readEvent(decode, row) as Committed<E, keyof E>);
      // A callback that returns nothing is not awaited: one microtask for each event adds up.
      if (returned !== undefined && returned !== null) await returned;
      count++;
    }
    // The driver keeps finished queries and their rows until the next full garbage collection. Emptying frees them now.
    rows.length = 0;
    // A page that was cut short holds at least one event.
    if (count >= wanted || (!cut && found < limit)) return count;
    size = nextSize(size, found, read);
    range = q?.backward
      ? { ...range, before: last, newest: range.newest ?? first }
      : { ...range, after: last };
  }
}
