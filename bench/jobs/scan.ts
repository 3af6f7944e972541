/** Reads the whole log in a process of its own, so that its peak memory is the scan's. */
import { performance } from "node:perf_hooks";
import { forgetStartUp, peakRss } from "../lib/memory.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

export type ScanParams = { readonly page?: number };
/**
 * MiB: `rss` is the peak while scanning, `startRss` the one of loading and connecting before it, `growth` what
 * the scan added to what was resident when it began.
 */
export type ScanResult = {
  readonly perSecond: number;
  readonly rss: number;
  readonly startRss: number;
  readonly growth: number;
  readonly events: number;
};

/** Result: a `ScanResult`. */
export async function scanJob({ target }: JobContext, { page }: ScanParams): Promise<PreparedJob> {
  const store = await openTarget(target);
  let after = -1;
  let bytes = 0;
  const take = (event: { id: number; name: PropertyKey }) => {
    after = event.id;
    bytes += String(event.name).length;
  };
  // Connects and prepares.
  await store.query(take, { limit: 1 });
  after = -1;
  return {
    run: async (): Promise<ScanResult> => {
      const startRss = peakRss();
      forgetStartUp();
      const atStart = process.memoryUsage.rss() / 2 ** 20;
      const start = performance.now();
      let events = 0;
      if (page === undefined) events = await store.query(take);
      else
        for (;;) {
          const found = await store.query(take, { after, limit: page });
          events += found;
          if (found < page) break;
        }
      const seconds = (performance.now() - start) / 1_000;
      if (bytes === 0) throw new Error("The scan delivered nothing");
      const rss = peakRss();
      return { perSecond: events / seconds, rss, startRss, growth: rss - atStart, events };
    },
  };
}
