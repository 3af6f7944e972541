/**
 * The statement of claim. It has three arms: by priority, the fair share of the oldest, and the leading ones. Each
 * arm reads a partial index over exactly the pending rows, in the order that it needs. So an idle claim costs the same at
 * 100 and at 1,000,000 subscriptions.
 *
 * An arm locks the rows that it takes, and skips rows that others have locked (SKIP LOCKED). So two workers that ask
 * for 5 of 20 get 5 each, and because a claim does not wait, it needs no lock order. In one rare case PostgreSQL still
 * waits (ADR 0004): see LOCK_TIMEOUT_MS. Under the lock PostgreSQL checks the conditions again on the newest version of
 * the row, so that it sees a lease that another worker has just taken.
 */
import type { Names } from "../schema/names.ts";
import { CLAIM_ARMS, LANE_SCHEDULE } from "../schema/table-names.ts";

/**
 * The time up to which deferred subscriptions are due: the server's clock, or this process's clock ($3) if that is ahead, but
 * at most a minute after the server's clock. An app wakes once for what it deferred, by its own clock. If the server then
 * said "not yet", the app would sleep on.
 */
const NOW = "greatest(now(), least(to_timestamp($3::float8 / 1000), now() + interval '1 minute'))";
/**
 * How long a claim waits for a row. SKIP LOCKED waits for a row whose last writer has just ended, if another writer has
 * already locked its new version. If that writer waits for a row of this claim, the two are in a deadlock. The limit is
 * far below deadlock_timeout (1 s by default). After it the claim runs again, and skips the row.
 */
const LOCK_TIMEOUT_MS = 25;

const LANE_ARMS = { byPriority: "laneByPriority", fair: "laneFair" } as const;

/** More subscriptions than a process could handle within a lease. */
export const MAX_CLAIM = 100_000;

/**
 * Upper bounds for the rows that an arm may take. The bound is part of the text, because PostgreSQL plans a statement again
 * at every call if its limit is only a parameter. The exact limits are parameters, so that there are only sixteen texts:
 * each prepared statement takes up to 0.24 MB of the server's memory per connection.
 */
const STEPS = [16, 256, 4_096, MAX_CLAIM] as const;

/**
 * How many due subscriptions take part in the order by priority and age: this many, or the claim's upper bound if that is
 * larger. If more are due, those with the earliest times take part. A sort of all took 59 ms at 100,000 due at once (ADR 0014).
 */
const DUE = 320;
/** An arm is offered twice its upper bound of due rows, and this many more, because other claims may have locked some of them. */
const SPARE = 256;

/** How many rows each arm may take. */
export type Limits = { readonly byPriority: number; readonly fair: number; readonly leading: number };

const stepFor = (limits: Limits): number => {
  const most = Math.max(limits.byPriority, limits.fair, limits.leading);
  return STEPS.find((step) => most <= step) ?? MAX_CLAIM;
};

export type ClaimOptions = {
  readonly limits: Limits;
  readonly inLane: boolean;
  /** Merges the deferred subscriptions that are due into the order. If it is false and one is due, nothing is leased. */
  readonly withDue: boolean;
  /** Returns the work marks too. */
  readonly marks: boolean;
};

/**
 * $1 holder of the leases
 * $2 length of the leases, in ms
 * $3 this process's clock, in ms since the epoch
 * $4 $5 $6 how many rows each arm may take: by priority, the fair share, leading
 * $7 lane, if `inLane`
 *
 * Returns at least one row, whose `any_due` says whether deferred subscriptions were due. Without a lease its `stream` is
 * null.
 */
export function claimStatement(names: Names, { limits, inLane, withDue, marks }: ClaimOptions): string {
  const step = stepFor(limits);
  // A list of one lane, and the order by lane: only an index that begins with the lane has this order. With `lane =` the
  // planner walks the index of all watermarks if the rows on disk are in order of watermark (14 ms at 100,000 instead of 1).
  const available = `not s.blocked and coalesce(s.leased_until <= now(), true)${inLane ? " and s.lane = any(array[(select lane from call)])" : ""}`;
  const behind = "s.at < s.correlated_at";
  const byLane = (direction = "") => (inLane ? `s.lane${direction}, ` : "");
  // `deferred_at is not null` is left out, because it follows from this condition. With it, and with statistics that know of
  // no deferred subscription, the planner would expect at most one row, and would then read and sort all due rows.
  const due = "s.deferred_at <= (select due from call)";
  // The inner limit is for the planner. Rows are locked one by one as the outer limit takes them, so none is locked
  // that may not be taken.
  const taken = (walk: string, limit: string) =>
    `(select * from (select * from (${walk} limit ${step} for update of s skip locked) walk limit (select ${limit} from call)) taken)`;
  const walk = (kind: "byPriority" | "fair", rest: string, order: string, limit: string, direction = "") =>
    taken(
      `select s.stream, s.at, s.priority from ${names.streams} s
      where (select goes from open) and ${available} and ${behind} and s.deferred_at is null
      and s.${CLAIM_ARMS[inLane ? LANE_ARMS[kind] : kind]}${rest}
      order by ${byLane(direction)}${order}`,
      limit,
    );
  const arm = (
    kind: "byPriority" | "fair",
    rest: string,
    order: (of: string) => string,
    limit: string,
    direction = "",
  ) => {
    const first = walk(kind, rest, order("s."), limit, direction);
    if (!withDue) return first;
    // Each due row is looked up again by its name. coalesce hides the condition from the index of times, which the
    // planner would read in full for each row if its statistics say that no row is due.
    return `
  select * from (
    ${first}
    union all
    ${taken(
      `select s.stream, s.at, s.priority from (select * from due order by ${order("")} limit ${2 * step + SPARE}) d
      join ${names.streams} s on s.stream = d.stream
      where (select goes from open) and ${available} and ${behind} and coalesce(${due}, false)${rest} order by ${order("d.")}`,
      limit,
    )}
  ) both_kinds order by ${order("")} limit (select ${limit} from call)`;
  };
  // If the first arm found fewer rows than it may take, there are no others, and the other arms need not search. That
  // matters while an old snapshot keeps VACUUM from removing the dead entries of their indexes.
  const more = " and (select count(*) from by_priority) >= (select by_priority from call)";
  // The rows are keys of an object. If each row were searched for in a list, a claim of n rows would take n² steps.
  const others = `${more} and not coalesce((select jsonb_object_agg(stream, 0) from by_priority), '{}') ? s.stream`;
  return `with call as materialized (
  select set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true) is not null as limited, ${NOW} as due,
    clock_timestamp() + $2::float8 * interval '1 millisecond' as until,
    $4::bigint as by_priority, $5::bigint as fair, $6::bigint as leading_limit${inLane ? ", $7::text as lane" : ""}
), due as materialized (
  select s.stream, s.at, s.priority from ${names.streams} s
  where ${available} and ${inLane ? LANE_SCHEDULE : behind} and ${due} order by ${byLane()}s.deferred_at limit ${withDue ? Math.max(DUE, step) : 1}
), open as materialized (
  select limited${withDue ? "" : " and not any_due"} as goes, any_due
  from (select limited, exists (select from due) as any_due from call) seen
), by_priority as materialized (${arm("byPriority", "", (of) => `${of}priority desc, ${of}at`, "by_priority")}
), fair as materialized (${arm("fair", others, (of) => `${of}at`, "fair")}
), leading_arm as materialized (${arm("fair", more, (of) => `${of}at desc`, "leading_limit", " desc")}
), picked as (
  select stream, min(ord) as ord, bool_or(lagging) as lagging from (
    select stream, true as lagging, row_number() over () as ord from by_priority
    union all select stream, true, 1000000000 + row_number() over () from fair
    union all select stream, false, 2000000000 + row_number() over () from leading_arm
  ) ranked group by stream
), leased as (
  update ${names.streams} s set retry = least(s.retry::bigint + 1, 2147483647)::int, leased_by = $1::text,
    leased_until = (select until from call)
  from picked p where s.stream = p.stream
  returning s.stream, s.source, s.at, s.retry, s.lane, p.lagging, p.ord${marks ? ", s.correlated_at" : ""}
)
select open.any_due, leased.* from open left join leased on true order by leased.ord`;
}
