import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { findBrowser, NO_BROWSER } from "../../test/support/find-browser.ts";
import { expectNoLeaks, keepSecret } from "../../test/support/leaks.ts";
import { startPostgres } from "./index.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The server of this run; every test file makes a database of its own on it. */
    serverUrl: string;
    /** A folder of this run, for what is made once: the console's page, the package. */
    runFolder: string;
  }
}

/** Long runs (`test:long`, `faults`) hold gigabytes: they stay on disk. */
const { RUNS, ORDER_EVENTS, FAULTS } = process.env;
const inMemory = !RUNS && !ORDER_EVENTS && FAULTS !== "long";

/** One server per run: `TEST_DATABASE_URL`, else a container, else the embedded PostgreSQL. */
export default async function setup(project: TestProject) {
  const version = process.env.TEST_POSTGRES_VERSION;
  const server = await startPostgres({
    url: process.env.TEST_DATABASE_URL,
    prefer: process.env.TEST_PREFER === "embedded" ? "embedded" : "any",
    version,
    inMemory,
  });
  console.log(`PostgreSQL ${server.version} (${server.kind})`);
  // The names of skipped tests, with their reason, are in the report and not in what is printed.
  if (!findBrowser()) console.log(`The console's page in a browser, test/console/page*: ${NO_BROWSER}`);
  if (version && server.version.split(".")[0] !== version) {
    await server.stop();
    throw new Error(`PostgreSQL ${version} was to be tested, and this is ${server.version}`);
  }
  project.provide("serverUrl", server.url);
  const runFolder = await mkdtemp(join(tmpdir(), "act-drizzle-run-"));
  project.provide("runFolder", runFolder);
  keepSecret(decodeURIComponent(new URL(server.url).password));
  return async () => {
    await rm(runFolder, { recursive: true, force: true });
    await server.stop();
    expectNoLeaks();
  };
}
