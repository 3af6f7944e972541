/**
 * Releases correlator leases when the store is disposed of. Act's `shutdown()` does so for its own app. If only the store is
 * disposed of, its leases would last for up to 5 s more, and until then `settle()` of every other process would correlate
 * nothing, and therefore drain nothing.
 */
import type { Context } from "../context.ts";
import type { Correlator } from "../correlators.ts";
import { textArray } from "../postgres/parameters.ts";

/** The longest wait for the release, in ms. Leases that are not released run out by themselves. */
const LIMIT_MS = 2_000;

/** A lease that the store holds. `end`: the instant of `performance.now()` at which it expires. */
type Held = Pick<Correlator, "key" | "by"> & { readonly end: number };

/** The leases of each store that were not released, by key and holder. */
const held = new WeakMap<Context, Map<string, Held>>();

/** Records the answer to a request for a lease. `since`: the instant of `performance.now()` of the request. */
export function noteLease(
  context: Context,
  { key, by, millis }: Correlator,
  granted: boolean,
  since: number,
): void {
  const leases = held.get(context) ?? new Map<string, Held>();
  held.set(context, leases);
  const id = JSON.stringify([key, by]);
  if (granted && millis > 0) leases.set(id, { key, by, end: since + millis });
  else leases.delete(id);
}

/** Releases the leases that have not expired. Never rejects. */
export async function releaseLeases(context: Context): Promise<void> {
  const { names, connections } = context;
  const now = performance.now();
  const running = [...(held.get(context)?.values() ?? [])].filter(({ end }) => end > now);
  held.delete(context);
  if (running.length === 0) return;
  // $1 keys, $2 holders. Locked in order of key, so that two processes do not deadlock.
  const query = {
    text: `with held as materialized (
  select c.key, c.leased_by from ${names.correlated} c
  join unnest($1::text[], $2::text[]) as g(key, leased_by) on g.key = c.key and g.leased_by = c.leased_by
  order by c.key for update of c
) update ${names.correlated} c set leased_by = null, leased_until = now()
from held where c.key = held.key and c.leased_by = held.leased_by`,
    params: [textArray(running.map(({ key }) => key)), textArray(running.map(({ by }) => by))],
  };
  const end = Math.min(now + LIMIT_MS, Math.max(...running.map((lease) => lease.end)));
  await connections.writeBefore(query, end).catch(() => {});
}
