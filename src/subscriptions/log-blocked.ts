/** Logs the position of each subscription that is blocked, but not its error, whose text may quote an event. */
import type { BlockedLease, Lease } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { log } from "../values/log.ts";
import { alsoLeftOut, Throttle } from "../values/throttle.ts";

/** Messages a minute: one broken handler may block thousands of subscriptions. */
const PER_MINUTE = 10;

type Lines = {
  readonly throttle: Throttle;
  /** Blocked subscriptions whose lines are still to come, by {@link keyOf}. */
  readonly open: Map<string, BlockedLease>;
};
const linesOf = new WeakMap<Context, Lines>();

const keyOf = ({ stream, by }: Pick<Lease, "stream" | "by">): string => JSON.stringify([stream, by]);

/** Removes these from the open lines, and returns those that were among them. */
const take = ({ open }: Lines, leases: readonly Lease[]): BlockedLease[] =>
  leases.flatMap((lease) => {
    const blocked = open.get(keyOf(lease));
    return blocked && open.delete(keyOf(lease)) ? [blocked] : [];
  });

function tell({ names: { schema, table } }: Context, lines: Lines, blocked: readonly BlockedLease[]): void {
  for (const { stream, lane, at, retry } of blocked)
    lines.throttle.tell("blocked", (leftOut) =>
      log().warn(
        `[act-drizzle] "${schema}"."${table}": the subscription ${JSON.stringify(stream)} (lane ${lane ?? "default"}) is blocked ${at < 0 ? "at its beginning" : `after event ${at}`}, after ${retry === 0 ? "1 attempt" : `${retry + 1} attempts`}: \`act-drizzle blocked\` shows the error and the event${alsoLeftOut(leftOut)}`,
      ),
    );
}

/**
 * The framework blocks first, and right after that acks the events of the same claim that were handled before the failing
 * one. So the line waits until the caller has gone on: if an ack of the same holder has begun, it is written by
 * {@link ackOf}, with the position that the ack has set.
 */
export function logBlocked(context: Context, blocked: readonly BlockedLease[]): void {
  if (blocked.length === 0) return;
  const lines = linesOf.get(context) ?? { throttle: new Throttle(PER_MINUTE), open: new Map() };
  linesOf.set(context, lines);
  for (const lease of blocked) lines.open.set(keyOf(lease), lease);
  setImmediate(() => tell(context, lines, take(lines, blocked)));
}

/** Runs an ack, and then logs those of its subscriptions that were blocked just before. */
export async function ackOf(
  context: Context,
  leases: readonly Lease[],
  ack: () => Promise<Lease[]>,
): Promise<Lease[]> {
  const lines = linesOf.get(context);
  if (!lines?.open.size) return ack();
  const blocked = take(lines, leases);
  let acked: Lease[] = [];
  try {
    acked = await ack();
    return acked;
  } finally {
    const positions = new Map(acked.map((lease) => [keyOf(lease), lease.at]));
    tell(
      context,
      lines,
      blocked.map((lease) => ({ ...lease, at: positions.get(keyOf(lease)) ?? lease.at })),
    );
  }
}
