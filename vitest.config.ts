import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { lookThrough } from "./test/support/leaks.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/server/global-setup.ts"],
    setupFiles: ["test/support/leaks.setup.ts"],
    env: { NODE_ENV: "test", LOG_LEVEL: "fatal" },
    pool: "forks",
    // All files share one server, which needs a core too.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism() - 1)),
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
