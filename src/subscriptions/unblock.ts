/** unblock(): lets blocked subscriptions go on from where they stopped. */
import type { Context } from "../context.ts";
import { inputConditions, type StreamInput } from "./filter.ts";
import { updateStreams } from "./update.ts";

const UNBLOCKED = `retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;

/** Returns how many were unblocked. An empty filter selects all blocked ones, `{ blocked: false }` none. */
export async function unblock(context: Context, input: StreamInput): Promise<number> {
  // `blocked: false` then selects nothing, as the Store port says. InMemoryStore reads it as true.
  const where = inputConditions("unblock", input);
  if (!where) return 0;
  where.add("s.blocked");
  return updateStreams(context, "unblock", where, UNBLOCKED);
}
