/**
 * `npm run faults`: the faults in their long versions, file after file, and what each did, as a table.
 *   --rounds N   so many times (default 1)
 *   --only TEXT  only the files with this text in their path; may be given again for more
 *   --docs       keep the figures in test/faults/results.json, and write them into docs/reports/faults.md
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import type { FaultRecord } from "../test/faults/kit/report.ts";
import { faultResults, type Results, type Run, summarize } from "./docs/faults.ts";
import { writeDocs } from "./generate-docs.ts";

const root = join(import.meta.dirname, "..");
const { values: args } = parseArgs({
  options: {
    rounds: { type: "string", default: "1" },
    only: { type: "string", multiple: true, default: [""] },
    docs: { type: "boolean", default: false },
  },
});

let server = "";

/** Runs one file, and gives the records that its tests have left. */
async function run(file: string, round: number, report: string): Promise<Run> {
  rmSync(report, { force: true });
  const start = performance.now();
  // With CI a failure would be tried again, and a fault that sometimes harms would go unseen.
  const { CI: _, ...env } = process.env;
  const child = spawn(
    process.execPath,
    [join(root, "node_modules/vitest/vitest.mjs"), "run", file, "--no-file-parallelism"],
    {
      cwd: root,
      env: { ...env, FAULTS: "long", FAULTS_REPORT: report },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    process.stdout.write(text);
    server = /PostgreSQL [\d.]+ \(\w+\)/.exec(text)?.[0] ?? server;
  });
  const [code] = await once(child, "close");
  const lines = existsSync(report) ? readFileSync(report, "utf8").trim().split("\n") : [];
  const records: FaultRecord[] = lines.map((line) => JSON.parse(line));
  const seconds = Math.round((performance.now() - start) / 1_000);
  return { file, round, passed: code === 0, seconds, records };
}

const all = globSync("test/faults/**/*.test.ts", { cwd: root })
  .map((file) => file.replaceAll("\\", "/"))
  .sort();
const unknown = args.only.filter((text) => !all.some((file) => file.includes(text)));
if (unknown.length > 0) {
  console.error(`No path has ${unknown.join(" or ")} in it. Choose of:\n${all.join("\n")}`);
  process.exit(1);
}
const files = all.filter((file) => args.only.some((text) => file.includes(text)));
const folder = mkdtempSync(join(tmpdir(), "act-faults-"));
const runs: Run[] = [];
try {
  for (let round = 1; round <= Number(args.rounds); round++)
    for (const file of files) runs.push(await run(file, round, join(folder, "records.jsonl")));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const { head, rows } = summarize(runs);
const table = new Table({ head: [...head], style: { head: [], border: [] } });
for (const row of rows) table.push([...row]);
console.log(`\n${table}`);
for (const { file, round, passed, seconds } of runs)
  console.log(`${passed ? "passed" : "FAILED"}  round ${round}  ${seconds} s  ${file}`);

if (args.docs) {
  // A file that did not run keeps its figures.
  const before: Results = existsSync(faultResults)
    ? JSON.parse(readFileSync(faultResults, "utf8"))
    : { runs: [] };
  const others = before.runs.filter(({ file }) => !files.includes(file));
  const about = { date: new Date().toISOString().slice(0, 10), server, node: process.version };
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`;
  const results: Results = { ...about, machine, runs: [...others, ...runs] };
  writeFileSync(faultResults, `${JSON.stringify(results, null, 2)}\n`);
  await writeDocs({ only: ["faults"] });
}
process.exitCode = runs.length > 0 && runs.every(({ passed }) => passed) ? 0 : 1;
