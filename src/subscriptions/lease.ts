/** Leases as callers hand them in, and as the verbs answer with them. */
import type { Lease } from "@rotorsoft/act";
import type { Row } from "../postgres/index.ts";
import { checkArray, checkObject, checkText } from "../values/validate.ts";

/** One entry per stream and holder: a second one finds the lease gone. */
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

/** A lease as its row says it is now. */
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
