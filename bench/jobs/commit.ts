/** Commits in a closed loop on streams of its own, as one of several processes. */
import { closedLoop, type Loop } from "../lib/measure.ts";
import { META, message } from "../lib/store.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

export type CommitParams = { readonly inFlight: number; readonly millis: number; readonly prefix: string };

/** Result: a `Loop`. */
export async function commitJob({ target }: JobContext, params: CommitParams): Promise<PreparedJob> {
  const store = await openTarget(target);
  const { inFlight, millis, prefix } = params;
  return {
    run: (): Promise<Loop> =>
      closedLoop(inFlight, millis, (caller, turn) =>
        store.commit(`${prefix}-${caller}`, [message(turn)], META),
      ),
  };
}
