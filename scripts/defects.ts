/**
 * `npm run test:defects`: breaks the store on purpose, one defect at a time, in a copy of the sources, and
 * checks that the suite notices. Writes the table in docs/testing.md. Takes about ten minutes.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defects } from "./defects.list.ts";

const root = join(import.meta.dirname, "..");
const only = process.argv[2];

type Report = {
  testResults: {
    assertionResults: { status: string; fullName: string }[];
    status: string;
    message: string;
  }[];
};

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

/** The names of the tests that fail; `undefined` when nothing ran. */
function failures(files: readonly string[], filter: string): string[] | undefined {
  const output = join(copy, "report.json");
  rmSync(output, { force: true });
  spawnSync(
    join(root, "node_modules/.bin/vitest"),
    ["run", ...files, "-t", filter, "--bail=1", "--reporter=json", `--outputFile.json=${output}`],
    {
      cwd: copy,
      encoding: "utf8",
      timeout: 180_000,
      env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
    },
  );
  try {
    const report: Report = JSON.parse(readFileSync(output, "utf8"));
    return report.testResults.flatMap((file) =>
      file.assertionResults.filter((t) => t.status === "failed").map((t) => t.fullName),
    );
  } catch {
    return undefined;
  }
}

const rows: string[] = [];
let missed = 0;
try {
  for (const { defect, file, from, to, tests, filter } of defects) {
    if (only && !defect.includes(only)) continue;
    const path = join(copy, file);
    const source = readFileSync(path, "utf8");
    if (!source.includes(from)) throw new Error(`${defect}: "${from}" is not in ${file}`);
    writeFileSync(
      path,
      source.replaceAll(from, () => to),
    );
    const caught = failures(tests, filter);
    writeFileSync(path, source);
    const first = caught?.[0];
    if (!first) missed++;
    rows.push(
      `| ${defect} | \`${file}\` | ${first ? `${first.replaceAll("|", "\\|")}` : "**not caught**"} |`,
    );
    console.log(`${first ? "caught    " : "NOT CAUGHT"} ${defect}${first ? `: ${first}` : ""}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}

if (!only) {
  const page = join(root, "docs/testing.md");
  const text = readFileSync(page, "utf8");
  const [head = ""] = text.split("<!-- defects -->");
  const tail = text.split("<!-- /defects -->")[1] ?? "\n";
  const table = ["| defect | in | caught by |", "|---|---|---|", ...rows].join("\n");
  writeFileSync(page, `${head}<!-- defects -->\n${table}\n<!-- /defects -->${tail}`);
}
console.log(`${rows.length - missed} of ${rows.length} defects caught`);
process.exitCode = missed === 0 ? 0 : 1;
