/** A worker with nothing to do: an app with a reaction, on a store that listens. */
import { buildApp } from "../lib/app.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

/** CPU time in ms that the process took while it ran. */
export type IdleResult = { readonly cpu: number };

export async function idleJob({ target, stop }: JobContext): Promise<PreparedJob> {
  const store = await openTarget(target);
  const app = buildApp(store, () => {});
  // Ready once it has found that there is nothing to do.
  await new Promise<void>((resolve) => {
    app.on("settled", () => resolve());
    app.settle();
  });
  return {
    run: async (): Promise<IdleResult> => {
      const before = process.cpuUsage();
      await new Promise((resolve) => stop.addEventListener("abort", resolve));
      const { user, system } = process.cpuUsage(before);
      await app.shutdown();
      await store.dispose();
      return { cpu: (user + system) / 1_000 };
    },
  };
}
