import { defineConfig } from "vitest/config";

const warm = process.env.MUTATION_SOCKET !== undefined;

/** For `npm run test:mutation`, in its copy of the sources. */
export default defineConfig({
  plugins: [
    {
      name: "tests-declare-to-the-collector",
      enforce: "pre",
      resolveId: (id, importer) =>
        warm && id === "vitest" && importer?.includes("/test/")
          ? `${import.meta.dirname}/collect.ts`
          : undefined,
    },
  ],
  test: {
    root: `${import.meta.dirname}/../..`,
    include: warm ? ["scripts/mutation/worker.ts"] : ["test/**/*.test.ts"],
    globalSetup: ["test/server/global-setup.ts"],
    setupFiles: warm ? [] : ["scripts/mutation/cover.ts"],
    env: { NODE_ENV: "test", LOG_LEVEL: "fatal" },
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
