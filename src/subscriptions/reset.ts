/** reset(): sends subscriptions back to the beginning of the log. The work mark stays, so that they are claimed again. */
import type { Context } from "../context.ts";
import { inputConditions, type StreamInput } from "./filter.ts";
import { updateStreams } from "./update.ts";

const BEGINNING = `at = -1, retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;

/** Returns how many subscriptions were reset. An empty filter selects all. */
export async function reset(context: Context, input: StreamInput): Promise<number> {
  const where = inputConditions("reset", input);
  return where ? updateStreams(context, "reset", where, BEGINNING) : 0;
}
