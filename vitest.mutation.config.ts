/**
 * The tests that mutants are given to: `npm run test:mutation`. Quick ones, which end by themselves whatever a mutant
 * does to the store: no faults, no plans over large tables, nothing that starts programs.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [
      "conformance",
      "events",
      "input",
      "options",
      "postgres",
      "store",
      "subscriptions",
      "values",
    ].map((folder) => `test/${folder}/**/*.test.ts`),
    exclude: ["test/conformance/in-memory.test.ts"],
    globalSetup: ["dev/postgres/global-setup.ts"],
    env: { NODE_ENV: "test", LOG_LEVEL: "fatal" },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
