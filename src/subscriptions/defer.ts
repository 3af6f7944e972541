/** defer(): keeps subscriptions from being claimed until a point in time. It is no failure, so retry starts again. */
import type { Context } from "../context.ts";
import { toTime } from "../values/time.ts";
import { checkNumber } from "../values/validate.ts";
import { inputConditions, type StreamInput } from "./filter.ts";
import { updateStreams } from "./update.ts";

/** `deferredAt`: ms since the epoch. With a past time they can be claimed at once. Returns how many were deferred. */
export async function defer(context: Context, input: StreamInput, deferredAt: number): Promise<number> {
  checkNumber("defer", "deferred_at", deferredAt);
  const where = inputConditions("defer", input);
  if (!where) return 0;
  const at = where.param(toTime(deferredAt));
  return updateStreams(
    context,
    "defer",
    where,
    `deferred_at = to_timestamp(${at}::float8 / 1000), retry = -1`,
  );
}
