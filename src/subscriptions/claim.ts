/**
 * claim(): finds subscriptions with work and leases them, in one statement (claim-statement.ts). It never reads the events
 * table.
 *
 * The statement has two texts. Usually no deferred subscription is due, and the short text suffices, which takes the server
 * half the time to plan and two thirds to run. If one is due, the short text leases nothing, and the long text follows: it
 * merges the due ones into the order by priority and age. The next claim begins with the text that was needed last.
 */
import type { Lease } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import type { Param, Row } from "../postgres/index.ts";
import { checkNumber, checkOptionalText, checkText } from "../values/validate.ts";
import { claimStatement, type Limits, MAX_CLAIM } from "./claim-statement.ts";
import { toLease, toLeaseMillis } from "./lease.ts";

/** Node's timers may fire a millisecond early. */
const TIMER_SKEW_MS = 1;

const count = (value: number) => Math.max(0, Math.min(MAX_CLAIM, Math.trunc(value)));

/**
 * Leases subscriptions to `by` for `millis` milliseconds: up to `lagging` that are behind, by priority, with a fair share (a
 * quarter) for the oldest, and up to `leading` that are furthest ahead.
 */
export async function claim(
  context: Context,
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
  const only = lane ?? undefined;
  const params = [
    by,
    toLeaseMillis(millis),
    Date.now() + TIMER_SKEW_MS,
    limits.byPriority,
    limits.fair,
    limits.leading,
  ];
  const rows = await leaseRows(context, only, limits, only === undefined ? params : [...params, only]);
  // The holder reads the events up to the work mark. If a replica lacked one of them, the holder would skip it.
  for (const row of rows) context.connections.seen?.event(Number(row.correlated_at));
  return rows.map((row) =>
    toLease({ stream: row.stream as string, by, lagging: row.lagging as boolean }, row),
  );
}

async function leaseRows(
  { names, connections, lanesWithDue }: Context,
  lane: string | undefined,
  limits: Limits,
  params: readonly Param[],
): Promise<readonly Row[]> {
  const run = async (withDue: boolean) => {
    const marks = connections.seen !== undefined;
    const text = claimStatement(names, { limits, inLane: lane !== undefined, withDue, marks });
    const rows = await connections.write("claim", { text, params }, { retryOnLockTimeout: true });
    const anyDue = rows[0]?.any_due === true;
    if (anyDue) lanesWithDue.add(lane);
    else lanesWithDue.delete(lane);
    return { tookNothing: anyDue && !withDue, leased: rows.filter(({ stream }) => stream !== null) };
  };
  const first = await run(lanesWithDue.has(lane));
  return first.tookNothing ? (await run(true)).leased : first.leased;
}
