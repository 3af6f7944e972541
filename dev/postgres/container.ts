import { type RunningPostgres, type StartOptions, serverSettings } from "./types.ts";
import { describeServer } from "./url.ts";

/** A server in a container, or undefined where no container runtime answers ("no" comes in milliseconds). */
export async function startContainer(options: StartOptions): Promise<RunningPostgres | undefined> {
  const { getContainerRuntimeClient } = await import("testcontainers");
  const runtime = await getContainerRuntimeClient().catch(() => undefined);
  if (!runtime) return undefined;

  const { PostgreSqlContainer } = await import("@testcontainers/postgresql");
  const image = `postgres:${options.version ?? "18"}-alpine`;
  options.log?.(`Starting ${image} in a container`);
  const settings = Object.entries(serverSettings(options)).flatMap(([name, value]) => [
    "-c",
    `${name}=${value}`,
  ]);
  const container = await new PostgreSqlContainer(image)
    // The same order of text as the embedded server.
    .withEnvironment({ POSTGRES_INITDB_ARGS: "--locale=C --encoding=UTF8" })
    .withCommand(["postgres", ...settings])
    .start();

  const server = await describeServer(container.getConnectionUri(), "container").catch(async (error) => {
    await container.stop();
    throw error;
  });
  let stopped: Promise<unknown> | undefined;
  return {
    ...server,
    stop: async () => {
      stopped ??= container.stop();
      await stopped;
    },
  };
}
