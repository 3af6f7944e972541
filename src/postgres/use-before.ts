/** A connection by a deadline, or none. */
import { ConnectionError } from "../errors.ts";
import type { Connection } from "./connection.ts";
import { msUntil } from "./deadline.ts";
import type { Pool } from "./pool.ts";
import { afterPoll } from "./timers.ts";

/**
 * `pool.use`, unless there is no connection by `end`: then it rejects, and `work` is never called. What `work` does has to
 * keep to `end` itself.
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
  // An idle connection is used at once, without a timer.
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
