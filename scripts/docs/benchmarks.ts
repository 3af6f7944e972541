/** The figures in docs/reports/performance.md and their plots. */
import { join } from "node:path";
import { BENCHMARK_PARTS, benchmarkDocs } from "../../bench/docs.ts";
import type { Generator } from "./generator.ts";

let rendered: ReturnType<typeof benchmarkDocs> | undefined;
const docs = () => {
  rendered ??= benchmarkDocs();
  return rendered;
};

export const benchmarkParts: readonly Generator[] = BENCHMARK_PARTS.map((name) => ({
  file: "docs/reports/performance.md",
  name,
  render: async () => (await docs()).parts[name],
  files: async () =>
    (await docs()).plots.map(({ file, svg }) => [join("docs/reports/plots", file), svg] as const),
}));
