/**
 * A real PostgreSQL for the demo, the tests and the benchmarks, wherever they run: the server at the
 * given URL, else one in a container when a container runtime answers, else the binaries that npm
 * installed. Whatever is started here ends with this process, however it ends.
 */
import { startContainer } from "./container.ts";
import { startEmbedded } from "./embedded.ts";
import type { RunningPostgres, StartOptions } from "./types.ts";
import { describeServer } from "./url.ts";

export type { RestartMode, RunningPostgres, StartOptions } from "./types.ts";

export async function startPostgres(options: StartOptions = {}): Promise<RunningPostgres> {
  if (options.url) return describeServer(options.url);
  if (options.prefer !== "embedded") {
    try {
      const container = await startContainer(options);
      if (container) return container;
    } catch (error) {
      // A runtime without a way to the image (offline, no rights) is no reason to run nothing.
      options.log?.(`No container: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  options.log?.("Starting the embedded PostgreSQL");
  return startEmbedded(options);
}
