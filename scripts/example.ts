/**
 * `npm run demo`, `npm run example:…`: runs a program of examples/ as an app runs it, with DATABASE_URL. Without
 * DATABASE_URL it starts a temporary PostgreSQL from npm for it. `act-drizzle` is src/ (dev/source.ts).
 *
 * `npm run demo -- --console` then serves the console on what the demo has left, until Ctrl-C.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const CONSOLE = "--console";
const [script = "", ...given] = process.argv.slice(2);
const args = given.filter((arg) => arg !== CONSOLE);
/** The demo's schema and states. Other examples end by themselves, and have no console. */
const withConsole = given.includes(CONSOLE) && script === "git/demo.ts";
const VIEW = [
  "console",
  "--schema",
  "act_demo",
  "--app",
  join(ROOT, "examples/git/domain.ts"),
  "--port",
  "0",
];
/** Nothing is read from a database for the first, and the second looks at one that was kept. */
const needsServer = !["--help", "-h", "--check"].some((option) => args.includes(option));

let interrupted = false;
let signalChild = (_signal: NodeJS.Signals) => {};
// A terminal sends Ctrl-C to the example, too, whose end is waited for. SIGTERM is sent to this process alone.
process.on("SIGINT", () => {
  interrupted = true;
});
process.on("SIGTERM", () => {
  interrupted = true;
  signalChild("SIGTERM");
});

/** Runs a program to its end, and gives its exit code. */
async function runProgram(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(process.execPath, ["--import", join(ROOT, "dev/source.ts"), ...words], {
    stdio: "inherit",
    env: { ...process.env, ...environment },
  });
  signalChild = (signal) => void child.kill(signal);
  const [code] = await once(child, "exit");
  return code ?? 1;
}

/** Runs the example to its end, and gives its exit code. */
async function run(environment: NodeJS.ProcessEnv): Promise<number> {
  const follows = withConsole ? { CONSOLE_FOLLOWS: "1" } : {};
  const program = [join(ROOT, "examples", script), ...args];
  const code = await runProgram(program, { ...environment, ...follows });
  if (!withConsole || !needsServer || interrupted || code > 1) return code;
  if (!existsSync(join(ROOT, "dist/console/index.html"))) {
    console.log("Building the console's page …");
    const built = await runProgram([join(ROOT, "scripts/build-page.ts")], {});
    if (built !== 0 || interrupted) return built;
  }
  await runProgram([join(ROOT, "src/cli/bin.ts"), ...VIEW], environment);
  return code;
}

async function runOnTemporaryServer(): Promise<number> {
  // Before anything is loaded: this is the first sign of life.
  console.log("PostgreSQL  starting a temporary one from npm; set DATABASE_URL to use yours");
  const { startPostgres } = await import("../dev/postgres/index.ts");
  const server = await startPostgres({ prefer: "embedded", durable: true });
  try {
    return interrupted ? 130 : await run({ DATABASE_URL: server.url, DATABASE_IS_TEMPORARY: "1" });
  } finally {
    await server.stop();
  }
}

process.exitCode = process.env.DATABASE_URL || !needsServer ? await run({}) : await runOnTemporaryServer();
