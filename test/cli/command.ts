/** Runs the command as a user does, in a process of its own. */
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseFixture } from "../postgres/fixture.ts";

export const BIN = join(import.meta.dirname, "../../src/cli/bin.ts");

/** Below the limit of a test, so that no process outlives it. */
const LONGEST_MS = 50_000;

export type Result = { readonly code: number | null; readonly out: string; readonly err: string };

/** The environment of a user: no variables that lead to a database, and none by which a test is known. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^PG|DATABASE_URL|^FORCE_COLOR$|^NODE_ENV$|^VITEST|^TEST$|^LOG_LEVEL$/.test(name),
    ),
  );
}

export function runCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
  const child = spawn(process.execPath, [BIN, ...args], {
    // A folder without a package.json, as that of who operates an app on another machine.
    cwd: tmpdir(),
    env: { ...cleanEnvironment(), NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    // A command that does not end by itself has no exit code.
    timeout: LONGEST_MS,
  });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out, err }));
  });
}

/** On a store of the fixture. */
export const commandOn =
  (
    fixture: DatabaseFixture,
    store: { readonly config: { readonly schema: string; readonly table: string } },
  ) =>
  (...args: string[]): Promise<Result> =>
    runCommand([...args, "--schema", store.config.schema, "--table", store.config.table], {
      DATABASE_URL: fixture.url,
    });

export const widest = (text: string): number => Math.max(...text.split("\n").map((line) => [...line].length));
