/** The kit under another runner: node:test, two files at once. vitest runs the other tests; the sandbox of jest is in test/package. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { filesOf } from "../examples/blocks.ts";
import { serverUrl } from "../support/database.ts";

const program = (name: string) => fileURLToPath(new URL(`./programs/${name}.mjs`, import.meta.url));

/** Files of node:test, in processes of their own. */
async function run(files: readonly string[], options: readonly string[] = []): Promise<string> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...options, "--test", "--test-reporter=tap", ...files],
    { env: { ...env, TEST_DATABASE_URL: serverUrl(), LOG_LEVEL: "fatal" }, timeout: 170_000 },
  );
  return stdout;
}

test("tests of node:test run in parallel processes, and end by themselves", {
  timeout: 180_000,
}, async () => {
  const stdout = await run([program("node"), program("beside")]);
  expect(stdout).toMatch(/^# pass 8$/m);
  expect(stdout).toMatch(/^# fail 0$/m);
});

test("the guide's own test passes as it is written", { timeout: 180_000 }, async () => {
  const root = join(import.meta.dirname, "../..");
  const home = mkdtempSync(join(tmpdir(), "act-drizzle-guide-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  symlinkSync(join(root, "node_modules"), join(home, "node_modules"), "junction");
  writeFileSync(join(home, "package.json"), JSON.stringify({ type: "module" }));
  const pages = [...filesOf(readFileSync(join(root, "docs/guides/testing.md"), "utf8"))];
  const files = pages.map(([path, text]) => {
    const file = join(home, path.replaceAll("/", "-"));
    writeFileSync(file, text);
    return file;
  });
  expect(files).toHaveLength(1);
  const stdout = await run(files, ["--import", join(root, "dev/source.ts")]);
  expect(stdout).toMatch(/^# pass 1$/m);
});
