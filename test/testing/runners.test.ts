/** The kit under another runner: node:test, two files at once. vitest runs the other tests; the sandbox of jest is in test/package. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { serverUrl } from "../support/database.ts";

const program = (name: string) => fileURLToPath(new URL(`./programs/${name}.mjs`, import.meta.url));

test("tests of node:test run in parallel processes, and end by themselves", {
  timeout: 180_000,
}, async () => {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--test", "--test-reporter=tap", program("node"), program("beside")],
    { env: { ...env, TEST_DATABASE_URL: serverUrl(), LOG_LEVEL: "fatal" }, timeout: 170_000 },
  );
  expect(stdout).toMatch(/^# pass 8$/m);
  expect(stdout).toMatch(/^# fail 0$/m);
});
