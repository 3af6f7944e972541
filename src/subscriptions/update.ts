/**
 * The statement of the operator verbs. It locks the matching subscriptions in order of their names, and then changes
 * them. Every verb that waits for row locks takes them in this order, so that no two can deadlock.
 */
import type { Context } from "../context.ts";
import type { Conditions } from "../postgres/conditions.ts";
import { announcedPart, writeAnnounced } from "./announce.ts";

/**
 * Applies `set` to the rows that match, and returns how many there were. The parameters are those of `where`. The
 * operators' verbs may make work claimable without an event, so listeners are told.
 */
export async function updateStreams(
  context: Context,
  operation: string,
  where: Conditions,
  set: string,
): Promise<number> {
  const { streams } = context.names;
  const text = (announce: boolean) => `with matching as materialized (
  select s.stream from ${streams} s${where.where} order by s.stream for update of s
), changed as (
  update ${streams} s set ${set} from matching m where s.stream = m.stream returning 1
)${announce ? `, ${announcedPart(context, "exists (select from changed)")}` : ""}
select count(*)::int as count${announce ? ", (select count(*) from announced) as announced" : ""} from changed`;
  const [row] = await writeAnnounced(context, operation, (announce) => ({
    text: text(announce),
    params: where.params,
  }));
  return Number(row?.count ?? 0);
}
