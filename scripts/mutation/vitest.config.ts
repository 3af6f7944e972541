import { defineConfig } from "vitest/config";

/** For `npm run test:mutation`, in its copy of the sources. */
export default defineConfig({
  plugins: [
    {
      name: "tests-declare-to-the-collector",
      enforce: "pre",
      resolveId: (id, importer) =>
        id === "vitest" && importer?.includes("/test/") ? `${import.meta.dirname}/collect.ts` : undefined,
    },
  ],
  test: {
    root: `${import.meta.dirname}/../..`,
    include: ["scripts/mutation/worker.ts"],
    globalSetup: ["dev/postgres/global-setup.ts"],
    env: { NODE_ENV: "test", LOG_LEVEL: "fatal" },
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
