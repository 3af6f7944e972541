/** The two sides of the soak: committers at a steady pace, and workers that react as an app does. */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { buildApp } from "../lib/app.ts";
import { streamName } from "../lib/data.ts";
import { META, message } from "../lib/store.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

export type PaceParams = { readonly perSecond: number; readonly streams: number };

/** How often latencies are handed to the parent. */
const TELL_MS = 1_000;

/** Collects milliseconds and notes them in batches; the returned function ends it. */
function teller(note: (note: unknown) => void) {
  let latencies: number[] = [];
  const timer = setInterval(() => {
    if (latencies.length === 0) return;
    note(latencies);
    latencies = [];
  }, TELL_MS);
  return { add: (ms: number) => latencies.push(ms), end: () => clearInterval(timer) };
}

/** Commits to random streams, `perSecond` times a second; notes the latencies of its commits. */
export async function paceJob(context: JobContext, params: PaceParams): Promise<PreparedJob> {
  const store = await openTarget(context.target);
  const { perSecond, streams } = params;
  return {
    run: async () => {
      const { add, end } = teller(context.note);
      const start = performance.now();
      for (let turn = 0; !context.stop.aborted; turn++) {
        const due = start + (turn * 1_000) / perSecond - performance.now();
        if (due > 1) await sleep(due);
        const stream = streamName(Math.floor(Math.random() * streams));
        const called = performance.now();
        await store.commit(stream, [message(turn)], META);
        add(performance.now() - called);
      }
      end();
      await store.dispose();
    },
  };
}

/** Runs the app's reactions, woken by notifications; notes the time from an event to its reaction. */
export async function reactJob({ target, note, stop }: JobContext): Promise<PreparedJob> {
  const store = await openTarget(target);
  const { add, end } = teller(note);
  const app = buildApp(store, ({ created }) => add(Date.now() - created.getTime()));
  return {
    run: async () => {
      app.settle();
      await new Promise((resolve) => stop.addEventListener("abort", resolve));
      await app.shutdown();
      end();
      await store.dispose();
    },
  };
}
