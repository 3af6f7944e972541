/** Leases as callers pass them, and as the verbs return them. */
import type { Lease } from "@rotorsoft/act";
import type { Row } from "../postgres/index.ts";
import { checkArray, checkObject, checkText } from "../values/validate.ts";

/** 100 years. PostgreSQL's interval arithmetic overflows far beyond that. */
const LONGEST_LEASE_MS = 100 * 365.25 * 86_400_000;

/** The length of a lease, within what PostgreSQL can add to a timestamp. */
export const toLeaseMillis = (millis: number): number =>
  Math.max(-LONGEST_LEASE_MS, Math.min(LONGEST_LEASE_MS, millis));

/** The first lease per stream and holder. A second one would have no effect: the first has released the lease, or blocked it. */
export function firstPerHolder<L extends { readonly stream: string; readonly by: string }>(
  leases: readonly L[],
): L[] {
  const seen = new Set<string>();
  return leases.filter(({ stream, by }) => {
    const key = JSON.stringify([stream, by]);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

export function checkLeases(verb: string, leases: readonly Lease[]): void {
  checkArray(verb, "leases", leases);
  for (const lease of leases) {
    checkObject(verb, "each lease", lease);
    checkText(verb, "stream", lease.stream);
    checkText(verb, "by", lease.by);
  }
}

/** The lease with the values that its row has now. */
export function toLease({ stream, by, lagging }: Pick<Lease, "stream" | "by" | "lagging">, row: Row): Lease {
  return {
    stream,
    source: (row.source as string | null) ?? undefined,
    at: row.at as number,
    by,
    retry: row.retry as number,
    lagging,
    lane: row.lane as string,
  };
}
