/**
 * Pending subscriptions, those with events that wait, read through the claim's indexes. No index tells which are leased,
 * because each claim would have to update it. So leases are searched among the pending ones, of which there may be a million.
 */
import { CLAIM_ARMS, type ClaimArm } from "../schema/table-names.ts";

/**
 * Up to this many pending subscriptions of each kind (those that were deferred, and the others), a statement reads all of
 * them. If there are more, it reads the first ones in several orders.
 */
export const PENDING_LIMIT = 10_000;
/** If there are more: the number of lanes to read, and of subscriptions of each lane, by priority and by age. */
const LANES = 50;
const OF_A_LANE = 500;

const COLUMNS = "s.stream, s.lane, s.at, s.retry, s.leased_by, s.leased_until";
const SOME = PENDING_LIMIT + 1;

const frontOf = (streams: string, arm: ClaimArm, order: string, limit: number, condition = ""): string =>
  `(select ${COLUMNS} from ${streams} s where not s.blocked and s.at < s.correlated_at and s.deferred_at is null
    and s.${CLAIM_ARMS[arm]}${condition} order by ${order} limit ${limit})`;

const deferredOf = (streams: string): string =>
  `(select ${COLUMNS} from ${streams} s where not s.blocked and s.at < s.correlated_at and s.deferred_at is not null
    order by s.deferred_at limit ${SOME})`;

/**
 * Named queries, to follow `with recursive`. `edge` has one row: how many are `pending`, and whether there are more of
 * them than are read (`cut`). `held` has those that are leased. Up to 10,000 of each kind, all are read. Of more, only those
 * that a claim would take first, over all lanes and in each lane: leased ones were among these when they were claimed.
 */
export const pendingText = (streams: string): string => {
  const only = " and (select cut from edge)";
  const inLane = " and s.lane = any(array[l.lane])";
  const first = (condition: string) =>
    `(select s.lane from ${streams} s where not s.blocked and s.at < s.correlated_at and s.deferred_at is null
    and s.${CLAIM_ARMS.laneFair}${condition} order by s.lane, s.at limit 1)`;
  return `fair as materialized ${frontOf(streams, "fair", "s.at", SOME)}, deferred as materialized ${deferredOf(streams)}, edge as materialized (
  select f.count + d.count as pending, f.count > ${PENDING_LIMIT} or d.count > ${PENDING_LIMIT} as cut
  from (select count(*) from fair) f, (select count(*) from deferred) d
), lanes(lane) as (
  ${first(only)}
  union all
  select ${first(" and s.lane > l.lane")} from lanes l where l.lane is not null
), held as materialized (
  select distinct on (stream) * from (
    select * from fair union all select * from deferred
    union all ${frontOf(streams, "byPriority", "s.priority desc, s.at", SOME, only)}
    union all ${frontOf(streams, "fair", "s.at desc", SOME, only)}
    union all select f.* from (select lane from lanes where lane is not null limit ${LANES}) l cross join lateral (
      ${frontOf(streams, "laneByPriority", "s.lane, s.priority desc, s.at", OF_A_LANE, inLane)}
      union all ${frontOf(streams, "laneFair", "s.lane, s.at", OF_A_LANE, inLane)}) f
  ) pending where leased_by is not null and leased_until is not null order by stream
)`;
};
