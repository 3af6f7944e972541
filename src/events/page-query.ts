/**
 * The statement of one page of query(). It must not walk the whole log, not even for rare events or with stale planner
 * statistics (ADR 0015). So if a filter has an index, the statement itself decides how to read:
 *
 *   by_correlation, by_stream, by_time   the events that the filter's index finds, if they are few
 *   probe                                the next events of the log: if enough of them match, read on there
 *   near                                 what matches in the part of the log that comes next, if it fills the page
 *   more_by_stream, more_by_time         the events that the index finds, if they are few enough to sort
 *   else                                 the log in order of id; with names, each name's events in order of id
 *
 * Each step runs only if the ones before it did not answer.
 */
import type { Query as ActQuery } from "@rotorsoft/act";
import { Conditions } from "../postgres/conditions.ts";
import type { Query } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import { eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { type Pattern, toPattern } from "../values/pattern.ts";
import { toTime } from "../values/time.ts";
import { toId } from "../values/validate.ts";

/** Ids, exclusive. `newest`: the highest id that was delivered; undefined before the first page. */
export type Range = { readonly after?: number; readonly before?: number; readonly newest?: number };

/** How many events the first step may find by an index and sort. */
const FEW = 300;
/** Like {@link FEW}, for a correlation. It has no second step, because its index does not contain the ids. */
const FEW_CORRELATED = 1_000;
/**
 * How many entries the second step may find by an index that contains the ids, and sort: 0.2 ms per thousand. If there
 * are more, they are so dense in a log of millions that reading it in order of id finds them soon. From its second page
 * on, a query by `created` is answered by the probe.
 */
const MORE = { by_stream: 20_000, by_time: 100_000 } as const;
/**
 * How many of the next events the probe reads, and how many of them have to match. For a small page they must fill the
 * page. A large page reads on anyway, and for it one match in eight is dense enough.
 */
const PROBE = 500;
const enoughOf = (step: number, cap: string) => (step <= 256 ? cap : String(PROBE / 8));
/**
 * How many of the next events a large page reads for `near`. If the matches end in the middle of a page, reading on until the
 * page is full would read to the end of the log: 1.5 s for the last page of a day in 2.25 million events.
 */
const NEAR = 16_000;
/**
 * Page sizes that are part of the statement's text, beside the exact limit, which is a parameter. If the limit were only a
 * parameter, PostgreSQL would plan the statement again for every page.
 */
const STEPS = [16, 256] as const;
/** With a filter by names: how many events all names together may contribute to one page before the limit is applied. */
const NAMED = 20_000;

/** Bounds may be fractions, ids are whole: greater than 1.5 is greater than 1, less than 1.5 is less than 2. */
const below = (id: number) => toId(Math.ceil(id));
const above = (id: number) => toId(Math.floor(id));

const SNAPSHOT = "__snapshot__";

/** The names to look for; undefined for all. Without `with_snaps` the snapshot's name is removed: the list may be empty. */
export function namesOf({ names, with_snaps }: ActQuery): string[] | undefined {
  if (!names) return undefined;
  const wanted = [...new Set(names)];
  return with_snaps ? wanted : wanted.filter((name) => name !== SNAPSHOT);
}

/** How many events a page may have. With many names it is smaller, because each name is searched up to this number. */
export const pageSize = (q: ActQuery | undefined, size: number): number =>
  Math.min(size, Math.max(100, Math.floor(NAMED / Math.max(1, q?.names?.length ?? 0))));

/** The parts of a query as conditions on `e`. */
class Parts {
  readonly where = new Conditions();
  readonly #q: ActQuery;
  readonly #range: Range;

  constructor(q: ActQuery, range: Range) {
    this.#q = q;
    this.#range = range;
  }

  /**
   * A parameter whose value the planner does not see. With the value it would estimate a custom plan to be cheaper than the
   * generic one, and would plan again for every page.
   */
  hidden(value: string | number, type: string): string {
    return `(select ${this.where.param(value)}::${type})`;
  }

  /** The bounds of the ids of `alias`. */
  ids(): (alias: string) => string {
    const { after, before } = this.#range;
    const bounds: [string, string][] = [];
    if (after !== undefined) bounds.push([">", this.hidden(above(after), "bigint")]);
    if (before !== undefined) bounds.push(["<", this.hidden(below(before), "bigint")]);
    return (alias) => bounds.map(([than, id]) => ` and ${alias}.id ${than} ${id}`).join("");
  }

  /** The range of `created`. Stored microseconds are read as milliseconds, so later than .001 s means from .002 s on. */
  created(): string | undefined {
    const { created_after, created_before } = this.#q;
    const at = (ms: number) => `to_timestamp(${this.hidden(toTime(ms), "float8")} / 1000)`;
    const bounds: string[] = [];
    if (created_after) bounds.push(`e.created >= ${at(created_after.getTime() + 1)}`);
    if (created_before) bounds.push(`e.created < ${at(created_before.getTime())}`);
    return bounds.length === 0 ? undefined : bounds.join(" and ");
  }

  /** The parameter of the correlation; undefined without this filter. */
  correlation(): string | undefined {
    return this.#q.correlation ? this.hidden(this.#q.correlation, "text") : undefined;
  }

  /** The range of a pattern that begins with literal text. */
  prefix(pattern: Pattern | undefined): string | undefined {
    const text = pattern?.kind === "prefix" ? pattern.text : pattern?.kind === "regex" && pattern.prefix;
    if (!text) return undefined;
    const { from, to } = this.where.prefixRange(text);
    return [from("e.stream"), ...to("e.stream")].join(" and ");
  }

  /** The condition of a pattern, apart from its prefix. */
  match(pattern: Pattern | undefined): string | undefined {
    if (!pattern || pattern.kind === "prefix") return undefined;
    return this.where.pattern(
      "e.stream",
      pattern.kind === "regex" ? { kind: "regex", text: pattern.text } : pattern,
    );
  }
}

const all = (...conditions: (string | undefined)[]) =>
  conditions.filter((c) => c !== undefined).join(" and ");

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
 * A page of one stream. It compares with a list of one stream and orders by stream, because then only an index that
 * begins with the stream serves. For an order by id alone, the planner walks the primary key as soon as its statistics show
 * a few busy streams. For a quiet stream that is the whole log.
 *
 * The parameters, each if its filter is set: the stream, the names, the correlation, `after`, `before`, `created_after`
 * and `created_before` in ms, the newest id delivered and the stream, the limit.
 */
function streamPage(names: Names, q: ActQuery, stream: string, range: Range, limit: number): Query {
  const parts = new Parts(q, range);
  const { where } = parts;
  where.add(`e.stream = any(array[${where.param(stream)}::text])`);
  const wanted = namesOf(q);
  if (wanted) where.add(`e.name = any(${where.param(textArray(wanted))}::text[])`);
  else if (!q.with_snaps) where.add(`e.name <> '${SNAPSHOT}'`);
  if (q.correlation) where.add(`(e.meta ->> 'correlation') = ${where.param(q.correlation)}::text`);
  if (range.after !== undefined) where.add(`e.id > ${where.param(above(range.after))}::bigint`);
  if (range.before !== undefined) where.add(`e.id < ${where.param(below(range.before))}::bigint`);
  const created = parts.created();
  if (created) where.add(created);
  // A load begins at the newest snapshot that existed when the query began. Going forward, only the first page looks it up,
  // because later pages have `after`. Going backward, every page looks it up, among the events up to `newest`.
  if (q.with_snaps && q.stream_exact && range.after === undefined) {
    const known = range.newest === undefined ? `` : ` and s.id <= ${where.param(range.newest)}::bigint`;
    where.add(`e.id >= coalesce(
      (select s.id from ${names.events} s where s.stream = ${where.param(stream)}::text and s.name = '${SNAPSHOT}'${known} order by s.id desc limit 1), 0)`);
  }
  const text = `select ${eventColumns(`e`, { pii: true })}
  from ${names.events} e${where.where}
  order by ${q.backward ? `e.stream using ~>~, e.id desc` : `e.stream using ~<~, e.id`} limit ${where.param(limit)}::bigint`;
  return { text, params: where.params };
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
  // coalesce hides a condition from every index, so that the planner uses the index that has the order. It estimates that
  // half of the events match such a condition. With a smaller estimate it would read and sort the whole log.
  const unindexed = (...conditions: (string | undefined)[]) => {
    const text = all(...conditions);
    return text === "" ? "" : ` and coalesce(${text}, false)`;
  };
  const rest = all(prefix, match, noSnaps, created, ofCorrelation);
  const cap = parts.hidden(limit, "bigint");
  const step = STEPS.find((most) => limit <= most) ?? 2_000;
  const [by, columns] = [q.backward ? " desc" : "", eventColumns(`e`, { pii: true })];
  const capped = (rows: string) => `select * from (${rows} limit ${step}) e limit ${cap}`;
  const read = (from: string, conditions: string) =>
    capped(`select e.* from (${from} order by id${by}) f
    cross join lateral (select ${columns} from ${names.events} e where e.id = f.id${conditions} limit 1) e
    order by f.id${by}`);

  /** The statement's CTEs, the selects of the ids that they found, and the condition that no step has answered so far. */
  const steps: string[] = [];
  const found: string[] = [];
  let open = "true";
  /** The select of the rows of a step that already found whole rows, not only ids. */
  let near: string | undefined;
  const few = (name: string, select: string, order: string, most: number, also = "") => {
    steps.push(`${name} as materialized (
  ${select} and ${open} order by ${order} limit ${most + 1}
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
    steps.push(`probe as materialized (
  select e.id, coalesce(${all(ofNames, rest)}, false) as hit
  from (select * from ${names.events} e where ${open}${ids("e")} order by e.id${by} limit ${PROBE}) e
), seen as materialized (
  select ${open} and (count(*) < ${PROBE} or count(*) filter (where hit) >= ${enoughOf(step, cap)}) as enough,
    ${open} as open from probe
)`);
    if (step > 256) {
      steps.push(`near as materialized (
  select ${columns} from (
    select * from ${names.events} e where (select enough from seen)${ids("e")} order by e.id${by} limit ${NEAR}
  ) e where true${unindexed(ofNames, rest || undefined)} limit ${cap}
), filled as materialized (
  select s.enough and ((select count(*) from near) >= ${cap} or not exists (
    select from ${names.events} e where true${ids("e")} order by e.id${by} offset ${NEAR} limit 1)) as enough, s.open from seen s
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
    log = capped(`select ${columns} from ${names.events} e
    where ${open}${ids("e")}${unindexed(rest || undefined)} order by e.id${by}`);
  else if (one !== undefined)
    // As in streamPage: only the index that begins with the name has this order.
    log = capped(`select ${columns} from ${names.events} e
    where ${open} and e.name = any(array[${named}])${ids("e")}${unindexed(rest || undefined)} order by e.name${by}, e.id${by}`);
  else
    log = read(
      `select x.id from unnest(${named}::text[]) n(name) cross join lateral (${capped(`select e.id from ${names.events} e
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
