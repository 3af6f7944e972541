/**
 * The statement of the operator verbs. It locks the matching subscriptions in order of their names, and then changes
 * them. Every verb that waits for row locks takes them in this order, so that no two can deadlock.
 */
import type { Context } from "../context.ts";
import type { Conditions } from "../postgres/conditions.ts";

/** Applies `set` to the rows that match, and returns how many there were. The parameters are those of `where`. */
export async function updateStreams(
  { names, connections }: Context,
  operation: string,
  where: Conditions,
  set: string,
): Promise<number> {
  const text = `with matching as materialized (
  select s.stream from ${names.streams} s${where.where} order by s.stream for update of s
), changed as (
  update ${names.streams} s set ${set} from matching m where s.stream = m.stream returning 1
)
select count(*)::int as count from changed`;
  const [row] = await connections.write(operation, { text, params: where.params });
  return Number(row?.count ?? 0);
}
