/**
 * `npm run test:defects`: breaks the store on purpose, one defect at a time, in a copy of the sources, and checks that
 * the suite notices. Takes about ten minutes. Before that the same tests must pass on the unbroken copy: what fails
 * there anyway has caught nothing. What caught each defect is kept in test/defects.json, and shown in docs/reports/defects.md.
 *
 *   TEXT …       only the defects with one of these in their names
 *   --sql NAME   instead: every mutant of the statements in the module that exports NAME
 *   --check      runs no test: each defect must find its place in the sources, and the test that caught it must exist
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../dev/postgres/index.ts";
import { broken, type Defect } from "./defects.define.ts";
import { defects } from "./defects.list.ts";
import { sqlMutants } from "./defects.sql.ts";
import { missingTests } from "./defects.tests.ts";
import { keepCaught, readCaught } from "./docs/defects.ts";
import { exitOnErrors } from "./exit-on-errors.ts";
import { writeDocs } from "./generate-docs.ts";

const root = join(import.meta.dirname, "..");
const { values: options, positionals: only } = parseArgs({
  allowPositionals: true,
  options: { sql: { type: "string" }, check: { type: "boolean", default: false } },
});

type TestFile = {
  assertionResults: { status: string; fullName: string }[];
  name: string;
  /** Why the file itself failed, as when it can't be imported. */
  message: string;
};
type Report = { testResults: TestFile[] };

const failedOf = ({ assertionResults }: TestFile) =>
  assertionResults.filter(({ status }) => status === "failed").map(({ fullName }) => fullName);

function choose(): readonly Defect[] {
  const all = options.sql === undefined ? defects : sqlMutants(options.sql, defects);
  const chosen = all.filter(({ defect }) => only.length === 0 || only.some((name) => defect.includes(name)));
  if (chosen.length === 0) throw new Error(`no defect has ${only.join(" or ")} in its name`);
  return chosen;
}

/** A copy of what the tests need. */
function makeCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), "act-drizzle-defects-"));
  for (const entry of [
    ...["src", "test", "dev", "examples", "scripts", "drizzle"],
    ...["package.json", "tsconfig.json", "vitest.config.ts"],
  ])
    cpSync(join(root, entry), join(copy, entry), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

class Runner {
  readonly #copy: string;
  readonly #url: string;
  constructor(copy: string, url: string) {
    this.#copy = copy;
    this.#url = url;
  }

  /** What vitest reports of these tests; `undefined` when it got nowhere. */
  #run(files: readonly string[], filter: string, minutes: number, ...more: string[]) {
    const output = join(this.#copy, "report.json");
    rmSync(output, { force: true });
    const { status } = spawnSync(
      join(root, "node_modules/.bin/vitest"),
      ["run", ...files, "-t", filter, ...more, "--reporter=json", `--outputFile.json=${output}`],
      {
        cwd: this.#copy,
        encoding: "utf8",
        timeout: minutes * 60_000,
        env: {
          ...process.env,
          PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`,
          TEST_DATABASE_URL: this.#url,
        },
      },
    );
    try {
      const report: Report = JSON.parse(readFileSync(output, "utf8"));
      return { passed: status === 0, files: report.testResults };
    } catch {
      return undefined;
    }
  }

  /** What fails on the unbroken copy, of all the tests that these defects look at. */
  control(chosen: readonly Defect[]): string[] {
    const filters = new Map<string, Set<string>>();
    for (const { tests, filter } of chosen) {
      const key = tests.join(" ");
      filters.set(key, (filters.get(key) ?? new Set()).add(filter));
    }
    return [...filters].flatMap(([key, own]) => {
      const report = this.#run(key.split(" "), own.has("") ? "" : [...own].join("|"), 15);
      if (!report) return [`${key}: nothing ran`];
      const failed = report.files.flatMap((file) => [
        ...failedOf(file),
        ...(file.message ? [`${file.name}: ${file.message}`] : []),
      ]);
      return failed.length > 0 || report.passed
        ? failed
        : [`${key}: vitest itself, before or after the tests`];
    });
  }

  /** The name of the first test that fails with this defect; `undefined` when none does, or nothing ran. */
  caughtBy(defect: Defect): string | undefined {
    const { file, source } = broken(defect);
    const path = join(this.#copy, file);
    writeFileSync(path, source);
    try {
      return this.#run(defect.tests, defect.filter, 3, "--bail=1")?.files.flatMap(failedOf)[0];
    } finally {
      cpSync(join(root, file), path);
    }
  }
}

async function run(chosen: readonly Defect[]): Promise<void> {
  const server = await startPostgres({ url: process.env.TEST_DATABASE_URL, prefer: "any" });
  const copy = makeCopy();
  const caught = new Map<string, string | undefined>();
  try {
    const runner = new Runner(copy, server.url);
    const unsound = runner.control(chosen);
    if (unsound.length > 0) throw new Error(`fails without any defect:\n${unsound.join("\n")}`);
    console.log("control   : the chosen tests pass without a defect");
    for (const defect of chosen) {
      const first = runner.caughtBy(defect);
      caught.set(defect.defect, first);
      console.log(`${first ? "caught    " : "NOT CAUGHT"} ${defect.defect}${first ? `: ${first}` : ""}`);
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
    await server.stop();
  }
  const missed = [...caught.values()].filter((first) => first === undefined).length;
  console.log(`${caught.size - missed} of ${caught.size} defects caught`);
  process.exitCode = missed === 0 ? 0 : 1;
  if (options.sql !== undefined) return;
  keepCaught(caught);
  await writeDocs({ only: ["defects"] });
}

function check(): void {
  const caught = [...readCaught()];
  const missing = new Set(missingTests(caught.map(([, test]) => test)));
  const stale = caught.filter(([, test]) => missing.has(test));
  for (const [defect, test] of stale)
    console.error(`test/defects.json: no test is called "${test}". Run: npm run test:defects -- "${defect}"`);
  if (stale.length > 0) process.exit(1);
  console.log(
    `all ${chosen.length} deliberate defects find their place in src, and the tests that caught them exist`,
  );
}

exitOnErrors();
const chosen = choose();
// A place that is not found is known before any test runs.
const lost = chosen.flatMap((defect) => {
  try {
    broken(defect);
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
});
if (lost.length > 0) {
  for (const message of lost) console.error(message);
  process.exit(1);
}
if (options.check) check();
else await run(chosen);
