/**
 * Names and conditions that the Drizzle schema and the statements share. This file must not import Drizzle, whose modules
 * cost a process 180 MB and a second (Node 24): the store runs without them (docs/internals/adr/0007).
 */
export const tableNames = <const Name extends string>(table: Name) =>
  ({ events: table, streams: `${table}_streams`, correlated: `${table}_correlated` }) as const;

/**
 * Conditions that are always true, one for each arm of claim and for its partial index. An arm's condition makes
 * PostgreSQL use the index that has the arm's order. Without it, and with old statistics, PostgreSQL reads the smallest
 * index and sorts: 64 ms instead of 1 at 100,000 pending subscriptions.
 */
export const CLAIM_ARMS = {
  byPriority: "priority >= '-2147483648'::integer",
  fair: "at >= '-9223372036854775808'::bigint",
  laneByPriority: "priority <= 2147483647",
  laneFair: "at <= '9223372036854775807'::bigint",
} as const;
export type ClaimArm = keyof typeof CLAIM_ARMS;

/**
 * Another form of `at < correlated_at`, for the index of deferred subscriptions by lane. PostgreSQL does not prove one
 * form from the other. So a claim with a lane can use only this index, and a claim without a lane only the other one. With
 * the wrong index it would sort all due subscriptions (100 ms at 100,000).
 */
export const LANE_SCHEDULE = "coalesce(at < correlated_at, false)";
