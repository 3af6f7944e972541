/** query_streams(): reads subscriptions and their positions, page by page in byte order of their names. */
import type { QueryStreams, QueryStreamsResult, StreamPosition } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { readByIndex } from "../postgres/by-index.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query, Row } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import { warnOfUnknown } from "../unknown-options.ts";
import { ANY, type Rules } from "../values/rules.ts";
import {
  checkFunction,
  checkNumber,
  checkObject,
  checkOptionalText,
  checkTexts,
} from "../values/validate.ts";
import { filterConditions } from "./filter.ts";
import { SourceMatches } from "./source-matches.ts";

const KNOWN: Rules<QueryStreams> = {
  stream: ANY,
  stream_exact: ANY,
  source: ANY,
  source_exact: ANY,
  source_matches: ANY,
  blocked: ANY,
  lane: ANY,
  after: ANY,
  limit: ANY,
};
const DEFAULT_LIMIT = 100;
const PAGE = 1_000;
/** Separates the names of one parameter. */
const BETWEEN = "\u001e";

const COLUMNS = `s.stream, s.source, s.at, s.retry, s.blocked, s.error, s.priority, s.leased_by, s.lane, s.correlated_at,
    s.leased_until, s.deferred_at`;
const RESULT = `s.stream, s.source, s.at, s.retry, s.blocked, s.error, s.priority, s.leased_by, s.lane, s.correlated_at,
    (extract(epoch from s.leased_until) * 1000)::text as leased_until, (extract(epoch from s.deferred_at) * 1000)::text as deferred_at`;

/**
 * One statement compares the sources of LOOK subscriptions at most with the names. Their number, times the characters of all
 * names, is at most about COMPARED.
 */
const LOOK = 10_000;
const COMPARED = 500_000_000;

/** How many subscriptions one statement compares with the names of `source_matches`. */
const lookOf = (joined: string): number =>
  Math.max(100, Math.min(LOOK, Math.floor(COMPARED / Math.max(1, joined.length))));

type Page = { readonly query: QueryStreams; readonly after: string | undefined; readonly limit: number };

/** The filter without `source_matches`. Its parameters: those of the filter; `after`, a stream, if given. */
function filtered({ query, after }: Page): Conditions {
  const where = filterConditions("query_streams", query, new Conditions());
  if (after !== undefined) where.add(`s.stream ~>~ ${where.param(after)}::text`);
  return where;
}

/** Byte order of UTF-8. */
const IN_ORDER = "order by s.stream using ~<~ limit";

const headOf = ({ events }: Names): string => `(select id from ${events} order by id desc limit 1) as head`;

/**
 * One page, with the last id of the log. If no subscription matches, there is one row, whose stream is null. The parameters
 * after those of the filter: limit
 */
function positionsQuery(names: Names, page: Page): Query {
  const where = filtered(page);
  const text = `select ${headOf(names)}, p.* from (select 1) one left join lateral (
  select ${RESULT} from ${names.streams} s${where.where}
  ${IN_ORDER} ${where.param(page.limit)}::bigint) p on true`;
  return { text, params: where.params };
}

/**
 * Like {@link positionsQuery}, for subscriptions whose source may match one of the names. It looks at `look` subscriptions at
 * most: without that, 30,000 names and 200,000 sources of which none matched took more than a minute. Each row also tells
 * how many were looked at, and the last of them. The parameters after those of the filter: how many to look at, the names
 * joined, limit
 */
function matchingQuery(names: Names, page: Page, joined: string, look: number): Query {
  const where = filtered(page);
  const given = where.fork();
  const looked = `select ${COLUMNS} from ${names.streams} s${where.where} ${IN_ORDER} ${given.param(look)}::bigint`;
  const text = given.param(joined);
  // A source without special characters is a pattern too: it matches every name that contains it. SourceMatches checks
  // the rest: sources with special characters, and matches that span two of the joined names.
  return {
    text: `with looked as materialized (${looked})
select ${headOf(names)}, l.looked, l.last, p.* from (
  select (select count(*) from looked)::int as looked, (select s.stream from looked s order by s.stream using ~>~ limit 1) as last) l
left join lateral (
  select ${RESULT} from looked s
  where (s.source is null or s.source = '' or s.source ~ '[][^$.*+?(){}|\\\\]' or strpos(${text}::text, s.source) > 0)
  ${IN_ORDER} ${given.param(page.limit)}::bigint) p on true`,
    params: where.params,
  };
}

/** From text, because a role's extra_float_digits could shorten a float8. */
const toMillis = (value: unknown): number | undefined => (value === null ? undefined : Number(value));
const orUndefined = <T>(value: unknown): T | undefined => (value === null ? undefined : (value as T));

function toPosition(row: Row): StreamPosition {
  const until = toMillis(row.leased_until);
  const deferred = toMillis(row.deferred_at);
  return {
    stream: row.stream as string,
    source: orUndefined(row.source),
    at: row.at as number,
    retry: row.retry as number,
    blocked: row.blocked as boolean,
    error: (row.error as string | null) ?? "",
    priority: row.priority as number,
    leased_by: orUndefined(row.leased_by),
    leased_until: until === undefined ? undefined : new Date(until),
    lane: row.lane as string,
    ...(deferred !== undefined && { deferred_at: Math.round(deferred) }),
    correlated_at: orUndefined(row.correlated_at),
  };
}

/**
 * Calls `callback` with each position. `after` is exclusive. `limit` is 100 by default; 0 yields no position. Returns the
 * id of the log's last event (-1 for an empty log) and how many positions there were.
 */
export async function queryStreams(
  context: Context,
  callback: (position: StreamPosition) => void,
  query: QueryStreams = {},
): Promise<QueryStreamsResult> {
  const { names, connections } = context;
  checkFunction("query_streams", "callback", callback);
  checkObject("query_streams", "query", query);
  warnOfUnknown(context, "query_streams", query, KNOWN);
  checkOptionalText("query_streams", "after", query.after);
  if (query.source_matches !== undefined) checkTexts("query_streams", "source_matches", query.source_matches);
  if (query.limit !== undefined) checkNumber("query_streams", "limit", query.limit);
  const wanted = Math.max(0, query.limit ?? DEFAULT_LIMIT);
  const sources = query.source_matches?.length ? new SourceMatches(query.source_matches) : undefined;
  const joined = query.source_matches?.join(BETWEEN) ?? "";
  const look = lookOf(joined);
  let after = query.after ?? undefined;
  let count = 0;
  for (;;) {
    const limit = Math.ceil(Math.min(PAGE, wanted - count));
    const page = { query, after, limit };
    // Without statistics the planner would sort all subscriptions for each page.
    const rows = sources
      ? await readByIndex(connections, "query_streams", matchingQuery(names, page, joined, look))
      : await connections.read("query_streams", positionsQuery(names, page));
    const maxEventId = Number(rows[0]?.head ?? -1);
    const found = rows.filter((row) => row.stream !== null);
    await sources?.decide(
      connections,
      found.map(({ source }) => source),
    );
    for (const row of found) {
      if (sources && !sources.has(row.source)) continue;
      // As the callback of query(): an async one is waited for. Nobody else would handle its rejection.
      const seen: unknown = callback(toPosition(row));
      if (seen !== undefined && seen !== null) await seen;
      count++;
    }
    const full = found.length >= limit;
    if (count >= wanted || (!full && rows[0]?.looked !== look)) return { maxEventId, count };
    after = String(full ? found.at(-1)?.stream : rows[0]?.last);
  }
}
