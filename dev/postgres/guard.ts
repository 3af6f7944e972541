/**
 * The process that owns an embedded server. It lives in a session of its own, so that a Ctrl-C meant for
 * the tests does not reach it, and ends the server and deletes its data when the channel to its parent
 * closes: by `stop()`, or because the parent is gone, SIGKILL included.
 */
import { Cluster, type ClusterOptions } from "./cluster.ts";
import type { RestartMode } from "./types.ts";

export type ToGuard = { start: ClusterOptions } | { restart: RestartMode };

export type FromGuard = { port: number; pid: number; folders: string[]; dataDir: string } | { error: string };

let cluster: Cluster | undefined;
let busy = Promise.resolve();

process.on("message", (message: ToGuard) => {
  busy = busy.then(() => obey(message));
});
process.once("disconnect", end);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, end);

async function obey(message: ToGuard): Promise<void> {
  try {
    if ("start" in message) {
      cluster = new Cluster(message.start);
      await cluster.init();
    } else {
      await cluster?.stop(message.restart);
    }
    await cluster?.start();
    if (!cluster?.pid) throw new Error("not started");
    const { port, pid, dataDir, folders } = cluster;
    answer({ port, pid, dataDir, folders });
  } catch (error) {
    answer({ error: error instanceof Error ? error.message : String(error) });
  }
}

function answer(message: FromGuard): void {
  // Nobody listens when the parent is gone; the error of a late answer must not end the clean-up.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

async function end(): Promise<void> {
  await cluster?.dispose();
  process.exit();
}
