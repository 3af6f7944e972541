/** unblock(): blocked subscriptions go on from where they stopped. */
import type { Context } from "../context.ts";
import { inputConditions, type StreamInput } from "./filter.ts";
import { updateStreams } from "./update.ts";

const RELEASED = `retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;

/** Returns how many were blocked. `{}` means all that are; `{ blocked: false }` means none. */
export async function unblock(context: Context, input: StreamInput): Promise<number> {
  // With `blocked: false` nothing is left, as the port says; the in-memory store reads it as true.
  const where = inputConditions("unblock", input);
  if (!where) return 0;
  where.add("s.blocked");
  return updateStreams(context, "unblock", where, RELEASED);
}
