/** Takes a connection from a pool, but not after a deadline. */
import { ConnectionError } from "../errors.ts";
import type { Connection } from "./connection.ts";
import { msUntil } from "./deadline.ts";
import type { Pool } from "./pool.ts";
import { afterPoll } from "./timers.ts";

/**
 * Like `pool.use`. If no connection is available by `end`, it rejects and never calls `work`. Once `work` has begun, it
 * has to keep to `end` itself.
 *
 * States: waiting (for a connection) → begun (`work` runs), or → over (`end` has passed).
 */
export function useBefore<T>(
  pool: Pick<Pool, "use">,
  end: number,
  work: (connection: Connection) => Promise<T>,
  fresh = false,
): Promise<T> {
  let state: "waiting" | "begun" | "over" = "waiting";
  let cancel = () => {};
  const late = () =>
    new ConnectionError("DEADLINE", "there was no connection in time, and nothing was sent", false);
  const running = pool.use(async (connection) => {
    if (state === "over") throw late();
    state = "begun";
    cancel();
    return await work(connection);
  }, fresh);
  // With an idle connection `work` has already begun, and no timer is needed.
  if (end === Number.POSITIVE_INFINITY || isBegun()) return running;
  return new Promise<T>((resolve, reject) => {
    cancel = afterPoll(msUntil(end), () => {
      if (isBegun()) return;
      state = "over";
      reject(late());
    });
    running.finally(() => cancel()).then(resolve, reject);
  });

  function isBegun(): boolean {
    return state === "begun";
  }
}
