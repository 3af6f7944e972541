/** `act-drizzle`: the command for operating a store. Each file of commands/ has one command or a few related ones. */
import { log, StoreError, ValidationError } from "@rotorsoft/act";
import { Command, CommanderError } from "commander";
import { backfill } from "./commands/backfill.ts";
import { archive, exportLog, importLog, reap } from "./commands/backup.ts";
import { bench } from "./commands/bench.ts";
import { blocked } from "./commands/blocked.ts";
import { completion } from "./commands/completion.ts";
import { console as browser } from "./commands/console.ts";
import { doctor } from "./commands/doctor.ts";
import { event, events, tail } from "./commands/events.ts";
import { forget } from "./commands/forget.ts";
import { lag } from "./commands/lag.ts";
import { defer, prioritize, reset, unblock } from "./commands/operate.ts";
import { rebuild } from "./commands/rebuild.ts";
import { release } from "./commands/release.ts";
import { ddl, plan, seed } from "./commands/schema.ts";
import { skip, skipped } from "./commands/skip.ts";
import { status } from "./commands/status.ts";
import { stream } from "./commands/stream.ts";
import { trace } from "./commands/trace.ts";
import { stderrLogger } from "./logger.ts";
import { printable } from "./output.ts";
import { ExitCode, UsageError, withStoreOptions } from "./session.ts";

/** Exit codes: 0 done; 1 failed, or doctor found more than hints; 2 wrong use, or refused; 130 work was interrupted. */
const FAILED = 1;
const WRONG_USE = 2;

const GROUPS: readonly (readonly [string, readonly ((program: Command) => void)[]])[] = [
  ["Look:", [status, lag, blocked, skipped, doctor, events, event, tail, stream, trace, browser]],
  ["Change subscriptions:", [unblock, skip, reset, defer, prioritize, release, backfill, rebuild]],
  ["Keep:", [exportLog, importLog, archive, reap, forget]],
  ["Tables:", [plan, seed, ddl]],
  ["Help:", [bench, completion]],
];

export function createProgram(): Command {
  const program = withStoreOptions(new Command("act-drizzle"))
    .description("Looks at an Act event store in PostgreSQL, and operates it.")
    .usage("<command> [options]")
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({
      helpWidth: 80,
      // Without options and optional arguments, so that a line holds the name and what it does.
      subcommandTerm: (command) =>
        [
          [command.name(), ...command.aliases()].join(", "),
          ...command.registeredArguments.filter(({ required }) => required).map((a) => `<${a.name()}>`),
        ].join(" "),
    })
    .addHelpText(
      "after",
      `
The store is found by --url, else DATABASE_URL, else PGHOST, PGUSER, …
Exit codes: 0 done; 1 failed, or doctor found more than hints; 2 wrong use,
or refused: the message says why; 130 work was interrupted.

Examples:
  $ act-drizzle status
  $ act-drizzle blocked
  $ act-drizzle doctor --json`,
    );
  for (const [title, commands] of GROUPS) {
    program.commandsGroup(title);
    for (const add of commands) add(program);
  }
  for (const command of program.commands) withStoreOptions(command.exitOverride());
  return program;
}

/** Returns the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    return exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof ExitCode) return error.exitCode;
  // Its message was printed already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USE;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`act-drizzle: ${message.split("\n").map(printable).join("\n")}\n`);
  if (error instanceof UsageError || error instanceof ValidationError) return WRONG_USE;
  // An error with a code is of the file system, of zlib or of Node, and its message says what stands in the way.
  const hasReason =
    error instanceof StoreError ||
    (error instanceof Error && "code" in error && !(error instanceof TypeError));
  if (!hasReason) process.stderr.write("This is a fault of the command.\n");
  return FAILED;
}

/**
 * Process events that the framework listens to. Its listeners would end the process in the middle of a command, without a
 * message.
 */
const FRAMEWORK_EVENTS = ["SIGINT", "SIGTERM", "uncaughtException", "unhandledRejection"];

/** Resolves once the stream has handed on all that was written to it. */
const written = (stream: NodeJS.WriteStream) =>
  new Promise<void>((resolve) => {
    if (stream.writableLength === 0) resolve();
    else stream.write("", () => resolve());
  });

export async function main(): Promise<void> {
  for (const event of FRAMEWORK_EVENTS) process.removeAllListeners(event);
  log(stderrLogger);
  // While it was loaded, the framework may have made a logger of its own, which it keeps.
  Object.assign(log(), stderrLogger);
  // `act-drizzle events | head` closes the pipe: that is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  const code = await run(process.argv.slice(2));
  await Promise.all([written(process.stdout), written(process.stderr)]);
  // A module of the user's may hold a timer or a connection, which would keep the process alive.
  process.exit(code);
}
