/**
 * `npm run test:defects`: breaks the store on purpose, one defect at a time, in a copy of the sources, and
 * checks that the suite notices. Writes the table in docs/reports/defects.md. Takes about ten minutes. Before that the
 * same tests must pass on the unbroken copy: what fails there anyway has caught nothing.
 *
 * With parts of names, only the defects that contain one; the table then stays as it is.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defects } from "./defects.list.ts";

const root = join(import.meta.dirname, "..");
const only = process.argv.slice(2);
const chosen = defects.filter(
  ({ defect }) => only.length === 0 || only.some((name) => defect.includes(name)),
);
if (chosen.length === 0) throw new Error(`no defect has ${only.join(" or ")} in its name`);

type TestFile = {
  assertionResults: { status: string; fullName: string }[];
  name: string;
  /** Why the file itself failed, as when it can't be imported. */
  message: string;
};
type Report = { testResults: TestFile[] };

const failedOf = ({ assertionResults }: TestFile) =>
  assertionResults.filter(({ status }) => status === "failed").map(({ fullName }) => fullName);

const copy = mkdtempSync(join(tmpdir(), "act-drizzle-defects-"));
for (const entry of [
  "src",
  "test",
  "examples",
  "scripts",
  "drizzle",
  "package.json",
  "tsconfig.json",
  "vitest.config.ts",
])
  cpSync(join(root, entry), join(copy, entry), { recursive: true });
symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));

/** What vitest reports of these tests in the copy; `undefined` when it got nowhere. */
function run(files: readonly string[], filter: string, minutes: number, ...options: string[]) {
  const output = join(copy, "report.json");
  rmSync(output, { force: true });
  const { status } = spawnSync(
    join(root, "node_modules/.bin/vitest"),
    ["run", ...files, "-t", filter, ...options, "--reporter=json", `--outputFile.json=${output}`],
    {
      cwd: copy,
      encoding: "utf8",
      timeout: minutes * 60_000,
      env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
    },
  );
  try {
    const report: Report = JSON.parse(readFileSync(output, "utf8"));
    return { passed: status === 0, files: report.testResults };
  } catch {
    return undefined;
  }
}

/** The name of the first test that fails; `undefined` when none does, or nothing ran. */
function failure(files: readonly string[], filter: string): string | undefined {
  return run(files, filter, 3, "--bail=1")?.files.flatMap(failedOf)[0];
}

/** What fails on the unbroken copy, of all the tests that the chosen defects look at. */
function control(): string[] {
  const filters = new Map<string, string[]>();
  for (const { tests, filter } of chosen) {
    const key = tests.join(" ");
    filters.set(key, [...new Set(filters.get(key)).add(filter)]);
  }
  return [...filters].flatMap(([key, own]) => {
    const report = run(key.split(" "), own.join("|"), 15);
    if (!report) return [`${key}: nothing ran`];
    const failed = report.files.flatMap((file) => [
      ...failedOf(file),
      ...(file.message ? [`${file.name}: ${file.message}`] : []),
    ]);
    return failed.length > 0 || report.passed ? failed : [`${key}: vitest itself, before or after the tests`];
  });
}

const rows: string[] = [];
let missed = 0;
try {
  const unsound = control();
  if (unsound.length > 0) throw new Error(`fails without any defect:\n${unsound.join("\n")}`);
  console.log("control   : the chosen tests pass without a defect");
  for (const { defect, file, from, to, tests, filter } of chosen) {
    const path = join(copy, file);
    const source = readFileSync(path, "utf8");
    if (!source.includes(from)) throw new Error(`${defect}: "${from}" is not in ${file}`);
    writeFileSync(
      path,
      source.replaceAll(from, () => to),
    );
    const first = failure(tests, filter);
    writeFileSync(path, source);
    if (!first) missed++;
    rows.push(
      `| ${defect} | \`${file}\` | ${first ? `${first.replaceAll("|", "\\|")}` : "**not caught**"} |`,
    );
    console.log(`${first ? "caught    " : "NOT CAUGHT"} ${defect}${first ? `: ${first}` : ""}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}

if (only.length === 0) {
  const page = join(root, "docs/reports/defects.md");
  const text = readFileSync(page, "utf8");
  const [head = ""] = text.split("<!-- defects -->");
  const tail = text.split("<!-- /defects -->")[1] ?? "\n";
  const table = ["| defect | in | caught by |", "|---|---|---|", ...rows].join("\n");
  writeFileSync(page, `${head}<!-- defects -->\n${table}\n<!-- /defects -->${tail}`);
}
console.log(`${rows.length - missed} of ${rows.length} defects caught`);
process.exitCode = missed === 0 ? 0 : 1;
