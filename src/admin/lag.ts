/** Subscriptions that are behind: how many events, for how long, and which event they would get next. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { readByIndex } from "../postgres/by-index.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import { CLAIM_ARMS, LANE_SCHEDULE } from "../schema/table-names.ts";
import { checkGiven, FUNCTION, LIMIT, type Rules, TEXT } from "../values/rules.ts";
import { epochMs, instant, msBetween, optionalInstant, optionalText } from "./bounded.ts";
import { type EventNames, nextEvents, type Pending, positionsOf } from "./next-events.ts";

/** Filters for the list of subscriptions that are behind. */
export type LagOptions = {
  /** Only events of these names count. Default: every event of the source. */
  readonly names?: EventNames | undefined;
  /** Only of this lane. Default: all. */
  readonly lane?: string | undefined;
  /**
   * Subscriptions at most, those with the lowest watermark first. Default 50. If more than `limit` subscriptions are
   * deferred, only the `limit` deferred ones with the earliest times are looked at.
   */
  readonly limit?: number | undefined;
};

/** A subscription with events that wait for it, and the one that it gets next. */
export type Lagging = Pending & {
  readonly stream: string;
  readonly source: string | undefined;
  readonly lane: string;
  readonly priority: number;
  /** Watermark: the id of the last event that was handled. */
  readonly at: number;
  /** Work mark: the id up to which there is work. */
  readonly correlatedAt: number;
  /** ms since the next event was committed. Undefined if `next` is. */
  readonly lagMs: number | undefined;
  /** The time until which the work is deferred. Undefined once it has passed. */
  readonly deferredUntil: Date | undefined;
  /** Holder of the lease, while it is valid. */
  readonly leasedBy: string | undefined;
  readonly leasedUntil: Date | undefined;
};

const DEFAULT_LIMIT = 50;
/** ms after which no further part of the log is searched for the events of a pattern. */
const TIME_LIMIT_MS = 1_500;
const RULES: Rules<LagOptions> = { names: FUNCTION, lane: TEXT, limit: LIMIT };

/**
 * Pending subscriptions, deferred ones too, with the lowest watermark first. Of the deferred ones, those with the
 * earliest times are read. The lane is compared with a list of one, and ORDER BY begins with it. So PostgreSQL can
 * use only the indexes that begin with the lane. $1 limit, $2 lane, if given
 */
export function laggingQuery(names: Names, { lane, limit = DEFAULT_LIMIT }: LagOptions): Query {
  const where = new Conditions();
  const cap = `${where.param(limit)}::bigint`;
  const inLane = lane === undefined ? "" : ` and s.lane = any(array[${where.param(lane)}::text])`;
  const first = lane === undefined ? "" : "s.lane, ";
  const behind = lane === undefined ? "s.at < s.correlated_at" : LANE_SCHEDULE;
  const columns = `s.stream, s.source, s.lane, s.priority, s.at, s.correlated_at, s.deferred_at, s.leased_by, s.leased_until`;
  const now = `(select * from (select ${columns} from ${names.streams} s
    where not s.blocked and s.at < s.correlated_at${inLane} and s.deferred_at is null
      and s.${CLAIM_ARMS[lane === undefined ? "fair" : "laneFair"]}
    order by ${first}s.at limit ${cap}) pending)`;
  const later = `(select ${columns} from ${names.streams} s
    where not s.blocked and ${behind}${inLane} and s.deferred_at is not null
    order by ${first}s.deferred_at limit ${cap})`;
  return {
    text: `select stream, source, lane, priority, at, correlated_at,
  case when deferred_at > clock_timestamp() then ${epochMs("deferred_at")} end as deferred_at,
  case when leased_until > clock_timestamp() then leased_by end as leased_by,
  case when leased_until > clock_timestamp() then ${epochMs("leased_until")} end as leased_until,
  ${epochMs("clock_timestamp()")} as now
from (${now} union all ${later}) s order by at, stream limit ${cap}`,
    params: where.params,
  };
}

const row = z.object({
  stream: z.string(),
  source: optionalText,
  lane: z.string(),
  priority: z.number(),
  at: z.coerce.number(),
  correlated_at: z.coerce.number(),
  deferred_at: optionalInstant,
  leased_by: optionalText,
  leased_until: optionalInstant,
  now: instant,
});

/**
 * With many rare patterns it ends about `limitMs` after the list was read. The events of a pattern that were not found until
 * then are missing, and their number is not exact.
 */
export async function lag(
  context: Context,
  options: LagOptions = {},
  limitMs = TIME_LIMIT_MS,
): Promise<Lagging[]> {
  checkGiven("lag", options, RULES);
  const rows = z
    .array(row)
    .parse(await readByIndex(context.connections, "admin", laggingQuery(context.names, options)));
  const end = performance.now() + limitMs;
  const pending = await nextEvents(context, positionsOf(rows), options.names, end);
  return rows.map((found, index) => {
    const { next, events } = pending[index] ?? { next: undefined, events: { count: 0, exact: true } };
    return {
      stream: found.stream,
      source: found.source,
      lane: found.lane,
      priority: found.priority,
      at: found.at,
      correlatedAt: found.correlated_at,
      next,
      events,
      lagMs: next && Math.max(0, msBetween(next.created, found.now)),
      deferredUntil: found.deferred_at,
      leasedBy: found.leased_by,
      leasedUntil: found.leased_until,
    };
  });
}
