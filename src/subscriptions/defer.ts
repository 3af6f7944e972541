/** defer(): keeps subscriptions from being claimed until a point in time. It resets `retry`, because a deferral is not a failure. */
import type { Context } from "../context.ts";
import { toTime } from "../values/time.ts";
import { checkNumber } from "../values/validate.ts";
import type { StreamInput } from "./filter.ts";
import { type ProgressOptions, updateInput } from "./update.ts";

/** `deferredAt`: ms since the epoch. With a past time they can be claimed at once. Returns how many were deferred. */
export async function defer(
  context: Context,
  input: StreamInput,
  deferredAt: number,
  options?: ProgressOptions,
): Promise<number> {
  checkNumber("defer", "deferred_at", deferredAt);
  const time = toTime(deferredAt);
  return updateInput(
    context,
    "defer",
    input,
    (where) => {
      const at = `${where.param(time)}::float8`;
      // The statement that counts the rows gets this parameter too, but does not set the time. PostgreSQL refuses a parameter
      // that a statement does not use, so a condition uses it.
      where.add(`${at} is not null`);
      return `deferred_at = to_timestamp(${at} / 1000), retry = -1`;
    },
    options,
  );
}
