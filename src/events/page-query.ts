/**
 * The statement of one page of query(). It must not walk the whole log, not even for rare events or with stale planner
 * statistics (ADR 0015). So if a filter has an index, the statement itself decides how to read:
 *
 *   by_correlation, by_stream, by_time   the events that the filter's index finds, if they are few
 *   probe                                the next events of the log: a small page is read there if they fill it
 *   near                                 a larger page: what matches in the part of the log that comes next, if it fills the page
 *   more_by_stream, more_by_time         the events that the index finds, if they are few enough to sort
 *   else                                 the log in order of id; with names, each name's events in order of id
 *
 * Each step runs only if the ones before it did not answer.
 */
import type { Query as ActQuery } from "@rotorsoft/act";
import type { Query } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import { eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { type Pattern, toPattern } from "../values/pattern.ts";
import {
  all,
  FEW,
  FEW_CORRELATED,
  inOrder,
  isDense,
  namesOf,
  nearOf,
  Parts,
  PROBE,
  type Range,
  SNAPSHOT,
  sizeOf,
  unindexed,
} from "./page-parts.ts";
import { streamPage } from "./stream-page.ts";

/**
 * How many entries a `more_by_…` step may find by an index that contains the ids, and sort: 0.2 ms per thousand. If there
 * are more, they are so dense in a log of millions that reading it in order of id finds them soon. A query by `created` needs
 * this for its first page only: a later page begins at a match, where the next events match too, so the probe finds enough.
 */
const MORE = { by_stream: 20_000, by_time: 100_000 } as const;
/**
 * With a filter by names: how many events all names together, up to 200, may contribute to the first page before its limit is
 * applied.
 */
const NAMED = 20_000;

/** How many events the first page may have. With many names it is smaller, because each name is searched up to this number. */
export const pageSize = (q: ActQuery | undefined, size: number): number =>
  Math.min(size, Math.max(100, Math.floor(NAMED / Math.max(1, q?.names?.length ?? 0))));

/**
 * One page. `range` replaces the query's own bounds, and moves from page to page. The parameters depend on the filters:
 * {@link streamPage} and {@link logPage} list them in order.
 */
export function pageQuery(names: Names, query: ActQuery | undefined, range: Range, limit: number): Query {
  const q: ActQuery = query ?? { with_snaps: true };
  const pattern: Pattern | undefined = !q.stream
    ? undefined
    : q.stream_exact
      ? { kind: "equals", text: q.stream }
      : toPattern("stream", q.stream);
  return pattern?.kind === "equals"
    ? streamPage(names, q, pattern.text, range, limit)
    : logPage(names, q, pattern, range, limit);
}

/**
 * A page of the log.
 *
 * The parameters, each if its filter is set: the names, `after`, `before`, the correlation, the prefix and the first
 * string after that prefix, the pattern, `created_after` and `created_before` in ms, the limit.
 */
function logPage(
  names: Names,
  q: ActQuery,
  pattern: Pattern | undefined,
  range: Range,
  limit: number,
): Query {
  const parts = new Parts(q, range);
  const { where } = parts;
  const wanted = namesOf(q);
  const one = wanted?.length === 1 ? wanted[0] : undefined;
  const named = wanted && (one === undefined ? where.param(textArray(wanted)) : parts.hidden(one, "text"));
  const ids = parts.ids();
  const correlation = parts.correlation();
  const prefix = parts.prefix(pattern);
  const match = parts.match(pattern);
  const created = parts.created();
  const ofNames = named && (one === undefined ? `e.name = any(${named}::text[])` : `e.name = ${named}`);
  const ofCorrelation = correlation && `(e.meta ->> 'correlation') = ${correlation}`;
  const noSnaps = !named && !q.with_snaps ? `e.name <> '${SNAPSHOT}'` : undefined;
  const rest = all(prefix, match, noSnaps, created, ofCorrelation);
  const cap = parts.hidden(limit, "bigint");
  const size = sizeOf(limit);
  const part = nearOf(size);
  const [by, columns] = [q.backward ? " desc" : "", eventColumns(`e`, { pii: true })];
  const ordered = (rows: string) => inOrder(rows, cap);
  const read = (from: string, conditions: string) =>
    `select * from (select e.* from (${from} order by id${by}) f
    cross join lateral (select ${columns} from ${names.events} e where e.id = f.id${conditions} limit 1) e
    order by f.id${by} limit ${size}) e limit ${cap}`;

  /** The statement's CTEs, the selects of the ids that they found, and the condition that no step has answered so far. */
  const steps: string[] = [];
  const found: string[] = [];
  let open = "true";
  /** The select of the rows of a step that already found whole rows, not only ids. */
  let near: string | undefined;
  const few = (name: string, select: string, order: string, most: number, also = "") => {
    steps.push(`${name} as materialized (
  ${inOrder(`${select} and ${open} order by ${order}`, most + 1)}
)`);
    found.push(`select id from ${name} f where (select count(*) from ${name}) <= ${most}${also}${ids("f")}`);
    open = `(select count(*) from ${name}) > ${most}`;
  };
  const byStream = (name: string, most: number, between = "") =>
    prefix &&
    few(
      name,
      `select e.id, e.stream from ${names.events} e where ${prefix}${between}`,
      "e.stream using ~<~",
      most,
      match && ` and ${match.replaceAll("e.stream", "f.stream")}`,
    );
  const byTime = (name: string, most: number, between = "") =>
    created &&
    few(name, `select e.id from ${names.events} e where ${created}${between}`, "e.created, e.id", most);

  if (correlation)
    few(
      "by_correlation",
      `select e.id from ${names.events} e where (e.meta ->> 'correlation') = any(array[${correlation}])`,
      "e.meta ->> 'correlation'",
      FEW_CORRELATED,
    );
  byStream("by_stream", FEW);
  byTime("by_time", FEW);
  if (prefix || created) {
    const hits = "count(*) filter (where hit)";
    steps.push(`probe as materialized (
  select e.id, coalesce(${all(ofNames, rest)}, false) as hit
  from (${inOrder(`select * from ${names.events} e where ${open}${ids("e")} order by e.id${by}`, PROBE)}) e
), seen as materialized (
  select ${open} and (count(*) < ${PROBE} or ${size <= 16 ? `${hits} >= ${cap}` : isDense(size, hits, cap)}) as enough,
    ${open} as open from probe
)`);
    if (size > 16) {
      steps.push(`near as materialized (
  select ${columns} from (
    ${inOrder(`select * from ${names.events} e where (select enough from seen)${ids("e")} order by e.id${by}`, part)}
  ) e where true${unindexed(ofNames, rest || undefined)} limit ${cap}
), filled as materialized (
  select s.enough and ((select count(*) from near) >= ${cap} or not exists (
    select from ${names.events} e where true${ids("e")} order by e.id${by} offset ${part} limit 1)) as enough, s.open from seen s
)`);
      near = "select * from near where (select enough from filled)";
      open = "(select open and not enough from filled)";
    } else open = "(select open and not enough from seen)";
    // This condition is hidden from the indexes, so that the step reads the index of its filter.
    const between = unindexed(ids("e").replace(/^ and /, "") || undefined);
    byStream("more_by_stream", MORE.by_stream, between);
    byTime("more_by_time", MORE.by_time, between);
    if (near === undefined) open = `((select enough from seen) or ${open})`;
  }

  let log: string;
  if (!named)
    log = ordered(`select ${columns} from ${names.events} e
    where ${open}${ids("e")}${unindexed(rest || undefined)} order by e.id${by}`);
  else if (one !== undefined)
    // As in streamPage: only the index that begins with the name has this order.
    log = ordered(`select ${columns} from ${names.events} e
    where ${open} and e.name = any(array[${named}])${ids("e")}${unindexed(rest || undefined)} order by e.name${by}, e.id${by}`);
  else
    log = read(
      `select x.id from unnest(${named}::text[]) n(name) cross join lateral (${ordered(`select e.id from ${names.events} e
      where ${open} and e.name = any(array[n.name])${ids("e")}${unindexed(rest || undefined)} order by e.name${by}, e.id${by}`)}) x`,
      "",
    );
  const text =
    steps.length === 0
      ? log
      : `with ${steps.join(", ")}
select * from (
  (${read(`select id from (${found.join(" union all ")}) found`, unindexed(ofNames, rest || undefined))})
  union all
  (${log})${near === undefined ? "" : `\n  union all\n  (${near})`}
) e order by e.id${by}`;
  return { text, params: where.params };
}
