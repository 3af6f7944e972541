/** Subscribes to notifications and reports when each arrived, on the clock that all processes share. */
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

/** CLOCK_MONOTONIC in milliseconds: comparable between processes of one machine. */
export const sharedNow = () => Number(process.hrtime.bigint()) / 1e6;

/** Notes: `[first event id, arrival]`. */
export async function listenJob({ target, note, stop }: JobContext): Promise<PreparedJob> {
  const store = await openTarget(target);
  if (!store.notify) throw new Error("This store has no notify");
  await store.notify(({ events }) => {
    const arrived = sharedNow();
    // Several commits of a group may be told at once.
    for (const { id } of events) note([id, arrived]);
  });
  return { run: () => new Promise((resolve) => stop.addEventListener("abort", resolve)) };
}
