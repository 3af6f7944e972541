/**
 * The statement behind the operator verbs: lock the matching subscriptions in order of their names, as every
 * verb that waits for row locks does, so that no two can deadlock; then change them.
 */

import type { Context } from "../context.ts";
import type { Conditions } from "../postgres/conditions.ts";

/** Applies `set` to the rows that match; returns how many there were. */
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
