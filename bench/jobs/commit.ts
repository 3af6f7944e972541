/** Commits in a closed loop on streams of its own, as one of several processes. */
import { closedLoop, type Loop } from "../lib/measure.ts";
import { META, message } from "../lib/store.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

export type CommitParams = {
  readonly inFlight: number;
  readonly millis: number;
  readonly prefix: string;
  /** ms of commits before those that count: the code is compiled, and the server's caches are filled. Default 0. */
  readonly warmUpMillis?: number;
};

/** Result: a `Loop`. */
export async function commitJob({ target }: JobContext, params: CommitParams): Promise<PreparedJob> {
  const store = await openTarget(target);
  const { inFlight, millis, prefix, warmUpMillis = 0 } = params;
  const commits = (ms: number): Promise<Loop> =>
    closedLoop(inFlight, ms, (caller, turn) => store.commit(`${prefix}-${caller}`, [message(turn)], META));
  if (warmUpMillis > 0) await commits(warmUpMillis);
  return { run: () => commits(millis) };
}
