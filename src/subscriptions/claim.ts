/**
 * claim(): finds subscriptions with work and leases them, in one statement. It never reads the events table.
 *
 * The statement has up to three arms: by priority, the fair share of the oldest, and the leading ones. Each arm reads
 * a partial index over exactly the pending rows, in the order that it needs. So an idle claim costs the same at 100
 * and at 1,000,000 subscriptions.
 *
 * An arm locks the rows that it takes, and skips rows that others have locked (SKIP LOCKED). So two workers that ask
 * for 5 of 20 get 5 each, and because a claim does not wait, it needs no lock order. In one rare case PostgreSQL waits
 * all the same (ADR 0004): see LOCK_TIMEOUT_MS. Under the lock PostgreSQL checks the conditions again on the newest
 * version of the row, so that it sees a lease that another worker has just taken.
 */
import type { Lease } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import type { Names } from "../schema/names.ts";
import { CLAIM_ARMS } from "../schema/table-names.ts";
import { checkNumber, checkOptionalText, checkText } from "../values/validate.ts";
import { toLease, toLeaseMillis } from "./lease.ts";

/**
 * The time up to which deferred subscriptions are due: the server's clock, or this process's clock ($3) if that is up
 * to a minute ahead. An app wakes once for what it deferred, by its own clock. If the server then said "not yet", the
 * app would sleep on.
 */
const NOW = "greatest(now(), least(to_timestamp($3::float8 / 1000), now() + interval '1 minute'))";
/** Node's timers may fire a millisecond early. */
const TIMER_SKEW_MS = 1;

/**
 * How long a claim waits for a row. SKIP LOCKED waits for a row whose last writer has just ended, if another writer has
 * already locked its new version. If that writer waits for a row of this claim, the two are in a deadlock. The limit is
 * far below deadlock_timeout (1 s by default). After it the claim runs again, and skips the row.
 */
const LOCK_TIMEOUT_MS = 25;

const LANE_ARMS = { byPriority: "laneByPriority", fair: "laneFair" } as const;

/** How many rows each arm may take. They are part of the text: PostgreSQL would plan a limit that is a parameter at every call. */
type Limits = { readonly byPriority: number; readonly fair: number; readonly leading: number };

/**
 * $1 holder of the leases
 * $2 length of the leases, in ms
 * $3 this process's clock, in ms since the epoch
 * $4 lane, if `inLane`
 */
function statement(names: Names, { byPriority, fair, leading }: Limits, inLane: boolean): string {
  const available = `(select given from limited) and not s.blocked and s.at < s.correlated_at
      and (s.leased_until is null or s.leased_until <= now())${inLane ? " and s.lane = $4::text" : ""}`;
  const walk = (schedule: string, order: string, limit: number) =>
    `select s.stream, s.at, s.priority from ${names.streams} s
      where ${available} and ${schedule} order by ${order} limit ${limit} for update of s skip locked`;
  // Deferred rows that are due come from an index of their own, by time, and are merged with the others in order.
  const arm = (kind: "byPriority" | "fair", rest: string, order: string, limit: number) => `select * from (
    (select * from (${walk(`s.deferred_at is null and s.${CLAIM_ARMS[inLane ? LANE_ARMS[kind] : kind]}${rest}`, order, limit)}) never)
    union all
    (select * from (${walk(`s.deferred_at is not null and s.deferred_at <= ${NOW}${rest}`, order, limit)}) due)
  ) s order by ${order} limit ${limit}`;
  // If the first arm found fewer rows than it may take, there are no others, and the other arms need not look. That
  // matters while an old snapshot keeps VACUUM from removing the dead entries of their indexes.
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

/** More subscriptions than a process could handle within a lease. */
const MAX_CLAIM = 100_000;
const count = (value: number) => Math.max(0, Math.min(MAX_CLAIM, Math.trunc(value)));

/**
 * Leases subscriptions to `by` for `millis` milliseconds: up to `lagging` of those that are behind, by priority and
 * with a fair share (a quarter) for the oldest, and up to `leading` of those that are furthest ahead.
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
  const params = [by, toLeaseMillis(millis), Date.now() + TIMER_SKEW_MS];
  const query = { text: statement(names, limits, inLane), params: inLane ? [...params, lane] : params };
  const rows = await connections.write("claim", query, { retryOnLockTimeout: true });
  return rows.map((row) =>
    toLease({ stream: row.stream as string, by, lagging: row.lagging as boolean }, row),
  );
}
