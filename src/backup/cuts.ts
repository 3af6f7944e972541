/**
 * The cuts of an archive: in each stream, the tombstone or the snapshot before which events can go.
 *
 * After years of archiving, most tombstones and snapshots have no event left before them. So a statement ends after a number
 * of them, or after a time, whether or not it has found anything: 2 million old snapshots without earlier events took one
 * statement longer than the default statement_timeout. The next statement goes on where it ended.
 */
import type { Context } from "../context.ts";
import { BY_INDEX_ALONE } from "../postgres/by-index.ts";
import type { Query } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import { toTime } from "../values/time.ts";
import type { Cut } from "./stream-pages.ts";

/** Tombstones, or streams with snapshots, that one statement looks at. */
const LOOK = 10_000;
/** ms after which a statement looks at no further stream. One stream may have very many snapshots that are too new. */
const WALK_MS = 2_000;

/**
 * The ids of the first and the last event of the stream of `e`. The stream is compared with a list of one, and ORDER BY begins
 * with it: with another condition, the planner may walk the log by id for each stream.
 */
const firstOf = ({ events }: Names): string =>
  `(select o.id from ${events} o where o.stream = any(array[e.stream]) order by o.stream using ~<~, o.id limit 1)`;
const lastOf = ({ events }: Names): string =>
  `(select o.id from ${events} o where o.stream = any(array[e.stream]) order by o.stream using ~>~, o.id desc limit 1)`;

/**
 * The next tombstones, in order of id, that are the last events of their streams and have earlier ones. If as many
 * tombstones as LOOK were looked at, and fewer cuts than the limit were found, the last of these tombstones follows. $1 the
 * id of the one before, $2 limit
 */
function tombstonesText(names: Names): string {
  const { events } = names;
  // A row compared with a row: only the index of names and ids serves that. By `t.id > $1` the planner may walk the log.
  const next =
    "(t.name, t.id) > ('__tombstone__', $1::bigint) and t.name <= '__tombstone__' order by t.name, t.id";
  return `with found as materialized (
  select e.stream, e.id from (select t.name, t.stream, t.id from ${events} t where ${next} limit ${LOOK}) e
  where ${firstOf(names)} < e.id and ${lastOf(names)} = e.id
  order by e.name, e.id limit $2::bigint
)
select stream, id, true as is_cut from found
union all (select t.stream, t.id, false from ${events} t where (select count(*) from found) < $2::bigint and ${next} offset ${LOOK - 1} limit 1)
order by id`;
}

/**
 * The next streams with a snapshot, in the order of the database, whose newest snapshot before the time has earlier events;
 * and the last stream that was looked at. Each step of the walk finds the next stream, and then its snapshot. OFFSET 0
 * keeps what a step has found from being looked up again for each use. $1 the stream before, $2 limit, $3 `before` in ms
 */
function snapshotsText(names: Names): string {
  const { events } = names;
  return `with recursive walk(stream, id, is_cut, looked, found) as (
  select $1::text, null::bigint, false, 0, 0
  union all
  select e.stream, e.id, c.is_cut, w.looked + 1, w.found + c.is_cut::int
  from walk w cross join lateral (
    select n.stream, (select s.id from ${events} s where s.name = '__snapshot__' and s.created < to_timestamp($3::float8 / 1000)
      and s.stream = any(array[n.stream]) order by s.stream desc, s.id desc limit 1) as id
    from (select s.stream from ${events} s where s.name = '__snapshot__' and s.stream > w.stream order by s.stream, s.id limit 1) n
    offset 0
  ) e cross join lateral (
    select coalesce(${firstOf(names)} < e.id, false) as is_cut offset 0
  ) c
  where w.looked < ${LOOK} and w.found < $2::bigint
    and (w.looked = 0 or clock_timestamp() < statement_timestamp() + interval '${WALK_MS} ms')
)
select stream, id, is_cut from walk
where looked > 0 and (is_cut or looked = (select max(looked) from walk)) order by looked`;
}

/**
 * The next cuts after `after`. If the statement ended before it had found as many as the limit, its last row says where it
 * stopped, and need not be a cut. If there is no row, there are no more cuts.
 */
export const cutsQuery = (
  names: Names,
  after: Cut | undefined,
  limit: number,
  before: Date | undefined,
): Query =>
  before === undefined
    ? { text: tombstonesText(names), params: [after?.id ?? -1, limit] }
    : { text: snapshotsText(names), params: [after?.stream ?? "", limit, toTime(before.getTime())] };

/** All cuts, in lists of `limit`; the last one may be shorter. */
export async function* cutLists(
  { names, connections }: Context,
  limit: number,
  before: Date | undefined,
): AsyncGenerator<readonly Cut[], void> {
  let cuts: Cut[] = [];
  for (let after: Cut | undefined; ; ) {
    const query = cutsQuery(names, after, limit - cuts.length, before);
    const rows = await connections.readWith("archive", BY_INDEX_ALONE, query);
    const looked = rows.map(({ stream, id }): Cut => ({ stream: String(stream), id: Number(id) }));
    after = looked.at(-1);
    if (after === undefined) break;
    cuts.push(...looked.filter((_, n) => rows[n]?.is_cut === true));
    if (cuts.length < limit) continue;
    yield cuts;
    cuts = [];
  }
  if (cuts.length > 0) yield cuts;
}
