/** Reacts to what another process commits, woken by notifications, and reports when each event was handled. */
import { buildApp } from "../lib/app.ts";
import { sharedNow } from "./listen.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

/** Notes: `[event id, time of its reaction]`. */
export async function remoteJob({ target, note, stop }: JobContext): Promise<PreparedJob> {
  const store = await openTarget(target);
  const app = buildApp(store, ({ id }) => note([id, sharedNow()]));
  // The framework subscribes to notifications with its first look.
  app.settle();
  return {
    run: async () => {
      await new Promise((resolve) => stop.addEventListener("abort", resolve));
      await app.shutdown();
      await store.dispose();
    },
  };
}
