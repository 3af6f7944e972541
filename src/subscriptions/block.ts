/** block(): keeps failing subscriptions from being claimed until an operator calls unblock or reset. */
import type { BlockedLease } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { textArray } from "../postgres/parameters.ts";
import type { Names } from "../schema/names.ts";
import { checkLeases, firstPerHolder, toLease } from "./lease.ts";
import { logBlocked } from "./log-blocked.ts";

/** $1 streams, $2 holders, $3 errors: one element per lease */
const statement = (names: Names) => `with given as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[]) with ordinality as g(stream, by, error, ord)
), held as materialized (
  select s.stream, g.by, g.error, g.ord from ${names.streams} s join given g on g.stream = s.stream
  where s.leased_by = g.by and not s.blocked order by s.stream for update of s
)
update ${names.streams} s set blocked = true, error = h.error, deferred_at = null
from held h where s.stream = h.stream and s.leased_by = h.by and not s.blocked
returning h.ord::int as ord, s.source, s.at, s.retry, s.lane`;

/** The error as text that PostgreSQL can store. An error with unusual text must not keep its stream from being blocked. */
function storable(error: unknown): string {
  let text = "an error that has no text";
  try {
    text = String(error ?? "");
  } catch {
    // An object without a prototype, or with a toString that throws.
  }
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}

/**
 * Blocks the subscriptions that `by` holds and that are not blocked yet, and returns them. Watermark, retry and lease
 * stay.
 */
export async function block(context: Context, leases: readonly BlockedLease[]): Promise<BlockedLease[]> {
  const { names, connections } = context;
  checkLeases("block", leases);
  if (leases.length === 0) return [];
  const given = firstPerHolder(leases);
  const rows = await connections.write("block", {
    text: statement(names),
    params: [
      textArray(given.map((l) => l.stream)),
      textArray(given.map((l) => l.by)),
      textArray(given.map((l) => storable(l.error))),
    ],
  });
  const stored = new Map(rows.map((row) => [row.ord, row]));
  const blocked = given.flatMap((lease, i) => {
    const row = stored.get(i + 1);
    if (!row) return [];
    return [{ ...toLease(lease, row), error: storable(lease.error) }];
  });
  logBlocked(context, blocked);
  return blocked;
}
