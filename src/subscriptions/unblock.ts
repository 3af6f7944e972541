/** unblock(): lets blocked subscriptions continue from their watermarks. */
import type { Context } from "../context.ts";
import type { StreamInput } from "./filter.ts";
import { type ProgressOptions, updateInput } from "./update.ts";

const UNBLOCKED = `retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;

/** Returns how many were unblocked. An empty filter selects all blocked ones, `{ blocked: false }` none. */
export async function unblock(
  context: Context,
  input: StreamInput,
  options?: ProgressOptions,
): Promise<number> {
  const onlyBlocked = (where: { add(condition: string): void }) => {
    // `blocked: false` then selects nothing, as the Store port says. InMemoryStore reads it as true.
    where.add("s.blocked");
    return UNBLOCKED;
  };
  return updateInput(context, "unblock", input, onlyBlocked, options);
}
