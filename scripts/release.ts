/**
 * `npm run release`: checks everything that a release needs, and publishes nothing.
 *   --publish   then publishes to npm and tags the commit; push the tag yourself
 *   --no-gate   leaves the gate (.ci/run) out; not with --publish
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const { values: args } = parseArgs({
  options: { publish: { type: "boolean" }, gate: { type: "boolean", default: true } },
  allowNegative: true,
});
if (args.publish && !args.gate) throw new Error("--publish needs the gate: leave --no-gate out");

/** What a command prints. Fails when the command does. */
function output(command: string, ...rest: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, rest, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`${[command, ...rest].join(" ")} failed: ${stderr}`);
  return stdout.trim();
}

function succeeds(command: string, ...rest: string[]): boolean {
  console.log(`\n== ${[command, ...rest].join(" ")}`);
  return spawnSync(command, rest, { cwd: root, stdio: "inherit" }).status === 0;
}

const manifest: { readonly version: string } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const { version } = manifest;
const tag = `v${version}`;

/** The text under a heading of the changelog, or undefined where the heading is missing. */
function section(heading: RegExp): string | undefined {
  const parts = readFileSync(join(root, "CHANGELOG.md"), "utf8").split(/^## /m);
  const found = parts.find((part) => heading.test(part));
  return found?.split("\n").slice(1).join("\n").trim();
}

const problems: string[] = [];
const demand = (holds: boolean, problem: string) => {
  if (!holds) problems.push(problem);
};

demand(output("git", "status", "--porcelain") === "", "The work tree is not clean: commit or remove changes");
demand(/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version), `package.json has no version to release: ${version}`);
demand(
  output("git", "tag", "--list", tag) === "",
  `${tag} is tagged already: raise the version in package.json`,
);
const dated = new RegExp(`^\\[${version.replaceAll(".", "\\.")}\\] - \\d{4}-\\d{2}-\\d{2}\\n`);
demand(Boolean(section(dated)), `CHANGELOG.md has no entries under "## [${version}] - YYYY-MM-DD"`);
demand(
  section(/^\[Unreleased\]/) === "",
  `CHANGELOG.md: move what is Unreleased under ${version}, keep the heading`,
);
// The gate takes long, and installs packages: it runs only if a release is possible.
if (problems.length === 0) {
  if (args.gate) demand(succeeds("bash", ".ci/run"), "The gate failed");
  demand(succeeds("npm", "pack", "--dry-run"), "npm pack failed");
}

console.log("");
for (const problem of problems) console.error(problem);
if (problems.length > 0) {
  process.exitCode = 1;
} else if (!args.publish) {
  console.log(`${tag} can be released: npm run release -- --publish`);
} else if (succeeds("npm", "publish") && succeeds("git", "tag", "--annotate", tag, "--message", tag)) {
  console.log(`${tag} is published. Push the tag: git push origin ${tag}`);
} else {
  process.exitCode = 1;
}
