/**
 * The statement of a page of one stream. It compares with a list of one stream and orders by stream, because then only an
 * index that begins with the stream serves. For an order by id alone, the planner walks the primary key as soon as its
 * statistics show a few busy streams. For a quiet stream that is the whole log.
 *
 * With a filter that has an index of its own, the planner may read all entries of that index, or the whole stream. It cannot
 * know which is less, so the statement finds out, as that of the log does (ADR 0015):
 *
 *   probe, near   what matches among the next events of the stream, if it fills the page, or the stream ends there
 *   by_…          the events that the index of a filter finds in the log, if they are few
 *   else          what the planner chooses
 *
 * Each step runs only if the ones before it did not answer.
 */
import type { Query as ActQuery } from "@rotorsoft/act";
import type { Query } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import { eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import {
  above,
  all,
  below,
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
} from "./page-parts.ts";

/**
 * The parameters, each if its filter is set: the stream, the names, the correlation, `after`, `before`, `created_after`
 * and `created_before` in ms, the newest id delivered and the stream, the limit.
 */
export function streamPage(names: Names, q: ActQuery, stream: string, range: Range, limit: number): Query {
  const parts = new Parts(q, range);
  const { where } = parts;
  const inStream = [`e.stream = any(array[${where.param(stream)}::text])`];
  const wanted = namesOf(q);
  // An index has the snapshots of each stream in order of id.
  const snapshots = wanted?.length === 1 && wanted[0] === SNAPSHOT;
  if (snapshots) inStream.push(`e.name = '${SNAPSHOT}'`);
  if (!wanted && !q.with_snaps) inStream.push(`e.name <> '${SNAPSHOT}'`);
  const named = wanted && !snapshots ? `${where.param(textArray(wanted))}::text[]` : undefined;
  const correlated = q.correlation ? `${where.param(q.correlation)}::text` : undefined;
  let ids = "";
  if (range.after !== undefined) ids += ` and e.id > ${where.param(above(range.after))}::bigint`;
  if (range.before !== undefined) ids += ` and e.id < ${where.param(below(range.before))}::bigint`;
  const created = parts.created();
  // A load begins at the newest snapshot that existed when the query began. Going forward, only the first page looks it up,
  // because later pages have `after`. Going backward, every page looks it up, among the events up to `newest`.
  if (q.with_snaps && q.stream_exact && range.after === undefined) {
    const known = range.newest === undefined ? `` : ` and s.id <= ${where.param(range.newest)}::bigint`;
    ids += ` and e.id >= coalesce(
      (select s.id from ${names.events} s where s.stream = ${where.param(stream)}::text and s.name = '${SNAPSHOT}'${known} order by s.id desc limit 1), 0)`;
  }
  const filters = all(
    named && `e.name = any(${named})`,
    correlated && `(e.meta ->> 'correlation') = ${correlated}`,
    created,
  );
  const within = `${inStream.join(" and ")}${ids}`;
  const by = q.backward ? " desc" : "";
  // Only the index of the snapshots begins with the stream in the default order and goes on with the id.
  const order = snapshots
    ? `e.stream${by}, e.id${by}`
    : `e.stream using ${q.backward ? "~>~" : "~<~"}, e.id${by}`;
  const columns = eventColumns(`e`, { pii: true });
  const page = `select ${columns} from ${names.events} e where ${within}`;
  if (filters === "")
    return {
      text: inOrder(`${page} order by ${order}`, where.param(limit)),
      params: where.params,
    };
  const most = `${where.param(limit)}::bigint`;
  const cap = `(select ${most})`;
  const size = sizeOf(limit);
  const part = nearOf(size);
  const next = (columns: string, most: number, also = "") =>
    inOrder(`select ${columns} from ${names.events} e where ${within}${also} order by ${order}`, most);
  // A small page needs no probe: to read the next events themselves costs no more.
  const probe =
    size <= 16
      ? undefined
      : `probe as materialized (
  select coalesce(${filters}, false) as hit from (${next("*", PROBE)}) e
), seen as materialized (
  select count(*) < ${PROBE} or ${isDense(size, "count(*) filter (where hit)", cap)} as enough from probe
)`;
  const enough = probe ? "(select enough from seen)" : "true";
  const steps = [
    ...(probe ? [probe] : []),
    `near as materialized (
  select ${columns} from (${next("*", part, ` and ${enough}`)}) e where coalesce(${filters}, false) limit ${cap}
), filled as materialized (
  select ${enough} and ((select count(*) from near) >= ${cap} or (select count(*) from (${next("e.id", part + 1)}) e) <= ${part}) as enough
)`,
  ];
  const found: string[] = [];
  let open = "not (select enough from filled)";
  const few = (name: string, select: string, most: number) => {
    steps.push(`${name} as materialized (${select})`);
    found.push(`select id from ${name} where (select count(*) from ${name}) <= ${most}`);
    open = `(select count(*) from ${name}) > ${most}`;
  };
  const entries = (condition: string, byIndex: string, most: number) =>
    inOrder(
      `select e.id from ${names.events} e where ${condition} and ${open} order by ${byIndex}`,
      most + 1,
    );
  if (named)
    few(
      "by_name",
      inOrder(
        `select x.id from unnest(${named}) n(name) cross join lateral (${entries(`e.name = any(array[n.name])${ids}`, `e.name, e.id`, FEW)}) x`,
        FEW + 1,
      ),
      FEW,
    );
  if (correlated)
    few(
      "by_correlation",
      entries(
        `(e.meta ->> 'correlation') = any(array[${correlated}])`,
        `e.meta ->> 'correlation'`,
        FEW_CORRELATED,
      ),
      FEW_CORRELATED,
    );
  if (created) few("by_time", entries(created, `e.created, e.id`, FEW), FEW);
  const text = `with ${steps.join(", ")}
select * from (
  select * from near where (select enough from filled)
  union all
  (select e.* from (${found.join(" union all ")}) f cross join lateral (
    select ${columns} from ${names.events} e where e.id = f.id and coalesce(${within} and ${filters}, false) limit 1) e)
  union all
  (select * from (${page} and ${filters} order by ${order} limit ${most}) e where ${open})
) e order by e.id${by} limit ${cap}`;
  return { text, params: where.params };
}
