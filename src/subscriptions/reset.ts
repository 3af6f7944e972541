/** reset(): back to the beginning, to replay everything. The work mark stays: there is work again. */
import type { Context } from "../context.ts";
import { inputConditions, type StreamInput } from "./filter.ts";
import { updateStreams } from "./update.ts";

const BEGINNING = `at = -1, retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;

/** Returns how many subscriptions were reset. `{}` means all. */
export async function reset(context: Context, input: StreamInput): Promise<number> {
  const where = inputConditions("reset", input);
  return where ? updateStreams(context, "reset", where, BEGINNING) : 0;
}
