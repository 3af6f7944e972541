/** Logs the position of each subscription that is blocked, but not its error, whose text may quote an event. */
import type { BlockedLease } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { log } from "../values/log.ts";
import { alsoLeftOut, Throttle } from "../values/throttle.ts";

/** Messages a minute: one broken handler may block thousands of subscriptions. */
const PER_MINUTE = 10;
const throttles = new WeakMap<Context, Throttle>();

export function logBlocked(context: Context, blocked: readonly BlockedLease[]): void {
  const throttle = throttles.get(context) ?? new Throttle(PER_MINUTE);
  throttles.set(context, throttle);
  const { schema, table } = context.names;
  for (const { stream, lane, at, retry } of blocked)
    throttle.tell("blocked", (leftOut) =>
      log().warn(
        `[act-drizzle] "${schema}"."${table}": the subscription ${JSON.stringify(stream)} (lane ${lane ?? "default"}) is blocked ${at < 0 ? "at its beginning" : `after event ${at}`}, after ${retry === 0 ? "1 attempt" : `${retry + 1} attempts`}: \`act-drizzle blocked\` shows the error and the event${alsoLeftOut(leftOut)}`,
      ),
    );
}
