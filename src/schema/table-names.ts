/**
 * What the Drizzle schema and the statements have to agree on. Without an import of Drizzle: its modules cost a
 * process 180 MB and a second (Node 24), and the store itself runs without them (docs/internals/adr/0007).
 */
export const tableNames = <const Name extends string>(table: Name) =>
  ({ events: table, streams: `${table}_streams`, correlated: `${table}_correlated` }) as const;

/**
 * Always true, and different for each arm of claim: an arm says its own, so that PostgreSQL can use only the
 * index in that arm's order. Without this it sorts whatever index is smallest as soon as its statistics are old:
 * 64 ms instead of 1 at 100,000 pending subscriptions.
 */
export const CLAIM_ARMS = {
  byPriority: "priority >= '-2147483648'::integer",
  fair: "at >= '-9223372036854775808'::bigint",
  laneByPriority: "priority <= 2147483647",
  laneFair: "at <= '9223372036854775807'::bigint",
} as const;
export type ClaimArm = keyof typeof CLAIM_ARMS;

/**
 * `at < correlated_at`, as the index of deferred subscriptions by lane says it, and the claim that reads it. PostgreSQL
 * does not prove one form from the other. So a claim reads the times of its lane only, and one without a lane reads
 * the times of all: with the other index it sorts all that is due (100 ms at 100,000).
 */
export const LANE_SCHEDULE = "coalesce(at < correlated_at, false)";
