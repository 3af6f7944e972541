/**
 * claim(): finds subscriptions with work and leases them, in one statement.
 *
 * Each arm walks a partial index over exactly the pending rows in the order it needs and locks what it
 * takes, skipping what others hold. So it does not wait, which is why it needs no lock order, two workers
 * that ask for 5 of 20 get 5 each, and an idle claim costs the same at 100 and at 1,000,000 subscriptions.
 * PostgreSQL waits all the same in one rare case (ADR 0004), and then the claim gives way: see LOCK_TIMEOUT_MS.
 * Under the lock PostgreSQL checks the conditions again on the newest version of the row, so a lease that
 * another worker has just taken is seen. The events table is never read.
 */
import type { Lease } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import type { Names } from "../schema/names.ts";
import { CLAIM_ARMS } from "../schema/table-names.ts";
import { checkNumber, checkOptionalText, checkText } from "../values/validate.ts";
import { toLease } from "./lease.ts";

/**
 * What is due by the server's clock, or by this process', if that is ahead by no more than a minute: an app wakes once
 * for what it deferred, by its own clock, and would sleep on if the server said "not yet".
 */
const NOW = "greatest(now(), least(to_timestamp($3::float8 / 1000), now() + interval '1 minute'))";
/** Node's timers may fire a millisecond early. */
const TIMER_SKEW_MS = 1;

/**
 * ms for which a claim waits for a row. SKIP LOCKED waits if the writer that held a row has just ended and the next one
 * has its new version already. A statement that waits for this claim's rows would then be in a deadlock with it. The limit is
 * far below deadlock_timeout (1 s by default), and the claim runs again: the second time it passes over the row.
 */
const LOCK_TIMEOUT_MS = 25;

const LANE_ARMS = { byPriority: "laneByPriority", fair: "laneFair" } as const;

/** How many each arm may take. Written into the text: PostgreSQL plans a parameter's limit anew at every call. */
type Limits = { readonly byPriority: number; readonly fair: number; readonly leading: number };

function statement(names: Names, { byPriority, fair, leading }: Limits, inLane: boolean): string {
  const available = `(select given from limited) and not s.blocked and s.at < s.correlated_at
      and (s.leased_until is null or s.leased_until <= now())${inLane ? " and s.lane = $4::text" : ""}`;
  const walk = (schedule: string, order: string, limit: number) =>
    `select s.stream, s.at, s.priority from ${names.streams} s
      where ${available} and ${schedule} order by ${order} limit ${limit} for update of s skip locked`;
  // What is due is found by its time, and joins those that were never deferred in their order.
  const arm = (kind: "byPriority" | "fair", rest: string, order: string, limit: number) => `select * from (
    (select * from (${walk(`s.deferred_at is null and s.${CLAIM_ARMS[inLane ? LANE_ARMS[kind] : kind]}${rest}`, order, limit)}) never)
    union all
    (select * from (${walk(`s.deferred_at is not null and s.deferred_at <= ${NOW}${rest}`, order, limit)}) due)
  ) s order by ${order} limit ${limit}`;
  // What the first arm left over: nothing, when it found fewer than it may take. Then the others need not look,
  // which counts when an old snapshot keeps the dead entries of their indexes from being cleaned away.
  const more = ` and (select count(*) from byPriority) >= ${byPriority}`;
  const arms = [
    {
      name: "byPriority",
      order: 0,
      text: arm("byPriority", "", "s.priority desc, s.at", byPriority),
      limit: byPriority,
    },
    {
      name: "fair",
      order: 1_000_000_000,
      text: arm("fair", `${more} and s.stream <> all(array(select stream from byPriority))`, "s.at", fair),
      limit: fair,
    },
    {
      name: "leading_arm",
      order: 2_000_000_000,
      text: arm("fair", byPriority > 0 ? more : "", "s.at desc", leading),
      limit: leading,
    },
  ].filter(({ limit }) => limit > 0);
  const found = arms.map(({ name, text }) => `${name} as materialized (\n  ${text}\n)`).join(", ");
  const ranked = arms.map(
    ({ name, order }) =>
      `select stream, ${name !== "leading_arm"} as lagging, ${order} + row_number() over () as ord from ${name}`,
  );
  return `with limited as materialized (
  select set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true) is not null as given
), ${found}, picked as (
  select stream, min(ord) as ord, bool_or(lagging) as lagging
  from (${ranked.join(" union all ")}) ranked group by stream
), leased as (
  update ${names.streams} s set retry = least(s.retry::bigint + 1, 2147483647)::int, leased_by = $1::text,
    leased_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
  from picked p where s.stream = p.stream
  returning s.stream, s.source, s.at, s.retry, s.lane, p.lagging, p.ord
)
select * from leased order by ord`;
}

/** PostgreSQL's interval arithmetic overflows beyond this: 100 years. */
const LONGEST_LEASE = 100 * 365.25 * 86_400_000;
/** More in one call than any process could handle within a lease. */
const MAX_CLAIM = 100_000;
const count = (value: number) => Math.max(0, Math.min(MAX_CLAIM, Math.trunc(value)));

/**
 * Leases up to `lagging` subscriptions that are behind, by priority and then by age with a fair share for
 * the oldest, and up to `leading` of those furthest leading, to `by` for `millis` milliseconds.
 */
export async function claim(
  { names, connections }: Context,
  lagging: number,
  leading: number,
  by: string,
  millis: number,
  lane?: string,
): Promise<Lease[]> {
  checkNumber("claim", "lagging", lagging);
  checkNumber("claim", "leading", leading);
  checkText("claim", "by", by);
  checkNumber("claim", "millis", millis);
  checkOptionalText("claim", "lane", lane);
  const behind = count(lagging);
  const fair = behind >= 2 ? Math.max(1, Math.floor(behind / 4)) : 0;
  const limits = { byPriority: behind - fair, fair, leading: count(leading) };
  if (limits.byPriority + limits.fair + limits.leading === 0) return [];
  const inLane = lane !== undefined && lane !== null;
  const params = [by, Math.max(-LONGEST_LEASE, Math.min(LONGEST_LEASE, millis)), Date.now() + TIMER_SKEW_MS];
  const query = { text: statement(names, limits, inLane), params: inLane ? [...params, lane] : params };
  const rows = await connections.write("claim", query, { retryOnLockTimeout: true });
  return rows.map((row) =>
    toLease({ stream: row.stream as string, by, lagging: row.lagging as boolean }, row),
  );
}
