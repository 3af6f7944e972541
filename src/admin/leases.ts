/** Who holds which subscription, and which correlator, and for how long. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { readByIndex } from "../postgres/by-index.ts";
import type { Names } from "../schema/names.ts";
import { checkGiven, LIMIT, type Rules } from "../values/rules.ts";
import { epochMs, instant, optionalInstant, optionalText } from "./bounded.ts";
import { pendingText } from "./pending.ts";

/**
 * A subscription that a worker holds. `holder` is the id of the worker, `at` the watermark, and `attempts` includes the
 * current one.
 */
export type HeldLease = {
  readonly stream: string;
  readonly lane: string;
  readonly at: number;
  readonly holder: string;
  readonly until: Date;
  /** ms until it ends; negative for one that has expired without being given back. */
  readonly leftMs: number;
  readonly attempts: number;
};

/** How far one correlator is. `holder` has its lease until `until`. */
export type CorrelatorState = {
  /** The correlator's key: a digest of the registry of its app. Empty for the checkpoint that all share. */
  readonly key: string;
  /** Checkpoint: the id up to which it has read the log. */
  readonly at: number;
  readonly holder: string | undefined;
  readonly until: Date | undefined;
};

type LimitOptions = { readonly limit?: number | undefined };

const DEFAULT_LIMIT = 100;
const RULES: Rules<LimitOptions> = { limit: LIMIT };

const leaseRow = z.object({
  stream: z.string(),
  lane: z.string(),
  at: z.coerce.number(),
  leased_by: z.string(),
  leased_until: instant,
  left_ms: z.coerce.number(),
  retry: z.number(),
});

/** $1 limit. Leases are searched among pending subscriptions. A blocked one may keep its lease, and is not listed. */
export const leasesText = ({ streams }: Names): string => `with recursive ${pendingText(streams)}
select stream, lane, at, leased_by, retry,
  ${epochMs("leased_until")} as leased_until, ${epochMs("leased_until - clock_timestamp()")} as left_ms
from held order by held.leased_until limit $1::bigint`;

/**
 * Leases in the order of their end, including expired ones until another worker takes the work. If more than 10,000
 * subscriptions are pending, it searches only those that a claim would take first.
 */
export async function leases(
  { names, connections }: Context,
  options: LimitOptions = {},
): Promise<HeldLease[]> {
  checkGiven("leases", options, RULES);
  const { limit = DEFAULT_LIMIT } = options;
  const rows = await readByIndex(connections, "admin", { text: leasesText(names), params: [limit] });
  return z
    .array(leaseRow)
    .parse(rows)
    .map(({ leased_by, leased_until, left_ms, retry, ...rest }) => ({
      ...rest,
      holder: leased_by,
      until: leased_until,
      leftMs: left_ms,
      attempts: retry + 1,
    }));
}

const correlatorRow = z.object({
  key: z.string(),
  at: z.coerce.number(),
  leased_by: optionalText,
  leased_until: optionalInstant,
});

/**
 * Correlators with the highest checkpoint first. The correlator of a registry that no app uses any more keeps its
 * old checkpoint, and so comes last.
 */
export async function correlators(
  { names, connections }: Context,
  options: LimitOptions = {},
): Promise<CorrelatorState[]> {
  checkGiven("correlators", options, RULES);
  const { limit = DEFAULT_LIMIT } = options;
  const rows = await connections.read("admin", {
    text: `select key, at, leased_by, ${epochMs("leased_until")} as leased_until
from ${names.correlated} order by at desc, key limit $1::bigint`,
    params: [limit],
  });
  return z
    .array(correlatorRow)
    .parse(rows)
    .map(({ key, at, leased_by, leased_until }) => ({ key, at, holder: leased_by, until: leased_until }));
}
