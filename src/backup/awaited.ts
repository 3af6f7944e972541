/**
 * Which streams have events that a subscription is still to handle. An archive leaves them: a subscription that is behind,
 * blocked or deferred would otherwise pass over the events that were deleted. An archive also leaves events that no
 * correlator has read yet, because only a correlator knows which subscriptions are to handle them.
 */
import type { Context } from "../context.ts";
import { isTooComplex } from "../errors.ts";
import { BY_INDEX_ALONE, WITHOUT_SORT } from "../postgres/by-index.ts";
import { Conditions } from "../postgres/conditions.ts";
import { literal, type Names } from "../schema/names.ts";
import { CLAIM_ARMS } from "../schema/table-names.ts";
import { toPattern } from "../values/pattern.ts";
import { type Cut, cutParams } from "./stream-pages.ts";

/** A source without these characters is the name of one stream: the framework's rule. */
const PATTERN = "[\\^$.*+?()\\[\\]{}|\\\\]";

/** Subscriptions with work, each kind by its own index. */
const pendingText = ({ streams }: Names): string => {
  const arms = [
    `not s.blocked and s.deferred_at is null and s.${CLAIM_ARMS.fair}`,
    "not s.blocked and s.deferred_at is not null",
    "s.blocked",
  ];
  return arms
    .map((arm) => `select s.source, s.at from ${streams} s where ${arm} and s.at < s.correlated_at`)
    .join("\n  union all ");
};

/**
 * Whether the stream of `c` has an event before the cut, after the watermark `at`. Reactions get no snapshots. ORDER BY begins
 * with the stream: without it the planner may walk the log by id for each stream.
 */
const hasEvent = ({ events }: Names, at: string): string => `coalesce((select true from ${events} e
  where e.stream = any(array[c.stream]) and e.id < c.id and e.id > ${at} and coalesce(e.name <> '__snapshot__', false)
  order by e.stream using ~<~, e.id limit 1), false)`;

const CUTS = "unnest($1::text[], $2::bigint[]) as c(stream, id)";

/**
 * Rows of two kinds:
 * - `stream`: a stream of the cuts that has events before its cut which are not done. Either a subscription to this stream
 *   has still to handle them, or their ids are above the shared checkpoint, so no correlator has read them. A log
 *   without reactions has no checkpoint.
 * - `source`, `at`: a pattern, or '' (every stream), that is the source of subscriptions with work, and the lowest
 *   watermark of these.
 *
 * $1 streams, $2 ids of the cuts
 */
const awaitedText = (names: Names): string => `with pending as (
  ${pendingText(names)}
), lowest as materialized (
  select coalesce(source, '') as source, min(at) as at from pending group by 1
)
select c.stream, null as source, null as at from ${CUTS} join lowest l on l.source = c.stream
where l.source !~ ${literal(PATTERN)} and ${hasEvent(names, "l.at")}
union all
select c.stream, null, null::bigint from ${CUTS} join ${names.correlated} k on k.key = '' where c.id > k.at and ${hasEvent(names, "k.at")}
union all
select null, l.source, l.at from lowest l where l.source = '' or l.source ~ ${literal(PATTERN)}`;

/** The condition on `c.stream`. A source that is no pattern of query() counts as one that matches every stream. */
function matches(where: Conditions, source: string): string {
  try {
    return source === "" ? "true" : (where.pattern("c.stream", toPattern("source", source)) ?? "true");
  } catch {
    return "true";
  }
}

/**
 * The streams of `cuts` with events before their cut that some subscription is still to handle, or that no correlator
 * has read.
 */
export async function awaitedStreams(
  { names, connections }: Context,
  cuts: readonly Cut[],
): Promise<ReadonlySet<string>> {
  const awaited = new Set<string>();
  const rows = await connections.readWith("archive", BY_INDEX_ALONE, {
    text: awaitedText(names),
    params: cutParams(cuts),
  });
  const add = (found: readonly { readonly stream?: unknown }[]) => {
    for (const { stream } of found) awaited.add(String(stream));
  };
  add(rows.filter(({ stream }) => stream !== null));
  for (const { source, at } of rows.filter(({ stream }) => stream === null)) {
    const left = cuts.filter(({ stream, id }) => id > Number(at) && !awaited.has(stream));
    if (left.length === 0) continue;
    const read = (of: string) => {
      const where = new Conditions();
      for (const param of cutParams(left)) where.param(param);
      const condition = `${hasEvent(names, `${where.param(Number(at))}::bigint`)} and ${matches(where, of)}`;
      return connections.readWith("archive", WITHOUT_SORT, {
        text: `select c.stream from ${CUTS} where ${condition}`,
        params: where.params,
      });
    };
    const found = await read(String(source)).catch((error: unknown) => {
      if (!isTooComplex(error)) throw error;
      return read("");
    });
    add(found);
  }
  return awaited;
}
