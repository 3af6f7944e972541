/**
 * ack(): moves watermarks and releases leases, all in one statement. Like all verbs that wait for row locks, it locks rows
 * in order of stream.
 */
import type { Lease } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { nullableTextArray, numberArray, textArray } from "../postgres/parameters.ts";
import type { Names } from "../schema/names.ts";
import { toTime } from "../values/time.ts";
import { checkNumber, toId, toInt } from "../values/validate.ts";
import { checkLeases, firstPerHolder, toLease } from "./lease.ts";
import { ackOf } from "./log-blocked.ts";

/**
 * $1 streams, $2 holders, $3 watermarks, $4 retries, $5 times up to which to defer, in ms: one element per lease
 */
const statement = (names: Names) => `with given as materialized (
  select * from unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::float8[])
    with ordinality as g(stream, by, at, retry, due, ord)
), held as materialized (
  select s.stream, g.by, g.at, g.retry, g.due, g.ord
  from ${names.streams} s join given g on g.stream = s.stream
  where s.leased_by = g.by order by s.stream for update of s
)
update ${names.streams} s set at = h.at, leased_by = null, leased_until = null,
  retry = case when h.due is null then -1 else h.retry end,
  deferred_at = to_timestamp(h.due / 1000)
from held h where s.stream = h.stream and s.leased_by = h.by
returning h.ord::int as ord, s.source, s.at, s.retry, s.lane`;

/**
 * Moves watermarks to `at`, and releases the leases that `by` still holds. A lease with `due` (ms since the epoch) defers
 * its subscription until that time, and is not returned. Leases that another worker has taken are not returned either.
 */
export async function ack(context: Context, leases: readonly Lease[]): Promise<Lease[]> {
  checkLeases("ack", leases);
  if (leases.length === 0) return [];
  return ackOf(context, leases, () => move(context, leases));
}

async function move({ names, connections }: Context, leases: readonly Lease[]): Promise<Lease[]> {
  const given = firstPerHolder(leases);
  for (const lease of given) {
    checkNumber("ack", "at", lease.at);
    checkNumber("ack", "retry", lease.retry ?? -1);
    if (lease.due !== undefined && lease.due !== null) checkNumber("ack", "due", lease.due);
  }
  const rows = await connections.write("ack", {
    text: statement(names),
    params: [
      textArray(given.map((l) => l.stream)),
      nullableTextArray(given.map((l) => l.by)),
      numberArray(given.map((l) => toId(l.at))),
      numberArray(given.map((l) => toInt(l.retry ?? -1))),
      numberArray(given.map((l) => (l.due === undefined || l.due === null ? null : toTime(l.due)))),
    ],
  });
  const stored = new Map(rows.map((row) => [row.ord, row]));
  return given.flatMap((lease, i) => {
    const row = stored.get(i + 1);
    if (!row || (lease.due !== undefined && lease.due !== null)) return [];
    return [toLease(lease, row)];
  });
}
