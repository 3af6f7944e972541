import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { sourcesOfEntries } from "./dev/entries.ts";
import { lookThrough } from "./test/support/leaks.ts";
import { UNIT } from "./test/unit.ts";

// Some hundred workers and programs start in a run, each with the same packages: Node compiles them once.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL("node_modules/.cache/node", import.meta.url));

// What a test imports of the examples imports `act-drizzle`, which is src/ here.
const alias = [...sourcesOfEntries()].map(([name, url]) => ({
  find: new RegExp(`^${name}$`),
  replacement: fileURLToPath(url),
}));

export default defineConfig({
  resolve: { alias },
  test: {
    projects: [
      // `npm run test:unit`: seconds, and nothing is started.
      { extends: true, test: { name: "unit", include: UNIT } },
      // The others, on a server that is started for the run.
      {
        extends: true,
        test: {
          name: "server",
          include: ["test/**/*.test.ts"],
          exclude: UNIT,
          globalSetup: ["dev/postgres/global-setup.ts"],
        },
      },
    ],
    setupFiles: ["test/support/leaks.setup.ts"],
    env: { NODE_ENV: "test", LOG_LEVEL: "fatal" },
    pool: "forks",
    // All files share one server. One more than there are cores keeps them busy while files wait for what takes time.
    maxWorkers: Math.min(4, availableParallelism() + 1),
    // Generous: the machines that run this are shared, and nothing waits for a time-out that passes.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    onConsoleLog: lookThrough,
    // A gate on a shared machine asks twice; the report says so. Locally a failure is a failure.
    retry: process.env.CI ? 1 : 0,
    // `npm run test:coverage`. What only child processes run is not counted.
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/**/*.generated.ts"],
      reporter: ["text", "json"],
      reportOnFailure: true,
      thresholds: { lines: 97 },
    },
  },
});
