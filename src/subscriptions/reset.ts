/** reset(): sends subscriptions back to the beginning of the log. The work mark stays, so that they are claimed again. */
import type { Context } from "../context.ts";
import type { StreamInput } from "./filter.ts";
import { type ProgressOptions, updateInput } from "./update.ts";

const BEGINNING = `at = -1, retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;

/** Returns how many subscriptions were reset. An empty filter selects all. */
export async function reset(
  context: Context,
  input: StreamInput,
  options?: ProgressOptions,
): Promise<number> {
  return updateInput(context, "reset", input, () => BEGINNING, options);
}
