/** The process that `lib/workers.ts` starts: prepares one job, waits for the word, runs it, reports. */

import { commitJob } from "./jobs/commit.ts";
import { drainJob } from "./jobs/drain.ts";
import { idleJob } from "./jobs/idle.ts";
import { listenJob } from "./jobs/listen.ts";
import { remoteJob } from "./jobs/remote.ts";
import { scanJob } from "./jobs/scan.ts";
import { paceJob, reactJob } from "./jobs/soak.ts";
import type { JobContext, PreparedJob } from "./jobs/types.ts";
import "./lib/quiet.ts";
import type { FromWorker, Job, ToWorker } from "./lib/workers.ts";

const JOBS: Readonly<Record<string, (context: JobContext, params: never) => Promise<PreparedJob>>> = {
  commit: commitJob,
  drain: drainJob,
  idle: idleJob,
  listen: listenJob,
  pace: paceJob,
  react: reactJob,
  remote: remoteJob,
  scan: scanJob,
};

const tell = (message: FromWorker) => process.send?.(message);
const failed = (error: unknown) =>
  tell({ type: "failed", error: error instanceof Error ? (error.stack ?? error.message) : String(error) });

const stop = new AbortController();
let prepared: PreparedJob | undefined;

async function prepare({ name, target, params }: Job): Promise<void> {
  const job = JOBS[name];
  if (!job) throw new Error(`No job is called ${name}`);
  prepared = await job(
    { target, stop: stop.signal, note: (note) => tell({ type: "note", note }) },
    params as never,
  );
  tell({ type: "ready" });
}

process.on("message", (message: ToWorker) => {
  if (message.type === "job") prepare(message.job).catch(failed);
  else if (message.type === "stop") stop.abort();
  else prepared?.run().then((result) => tell({ type: "done", result }), failed);
});
// The parent is gone: nothing is left to measure for.
process.on("disconnect", () => process.exit());
