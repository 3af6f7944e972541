/** `act-drizzle console`: the store in the browser. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ConsoleOptions, RunningConsole } from "../../console/start.ts";
import { currentUser, ExitCode, globalOptions, storeOptions, toWhole, UsageError } from "../session.ts";

const PORT = 4680;
const LOOPBACK = ["127.0.0.1", "::1", "localhost"];
/** Longest run of a statement of the console, in ms, so that the console does not slow the app down. */
const STATEMENT_TIMEOUT = 5_000;
/** Longest wait for a connection, in ms, so that the page soon shows when the server does not answer. */
const CONNECT_TIMEOUT = 3_000;

type ConsoleFlags = {
  readonly port: number;
  readonly write?: boolean;
  readonly open?: boolean;
  readonly pii: boolean;
  readonly as?: string;
  readonly app?: string;
  readonly tenants?: readonly string[];
  readonly also?: readonly string[];
  readonly host: string;
  readonly iKnowThatOthersCanConnect?: boolean;
};

const toPort = (text: string): number => {
  const value = toWhole(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw new InvalidArgumentError("A port from 0 to 65535 is needed.");
  return value;
};

const toList = (text: string): string[] => {
  const names = text.split(",").map((name) => name.trim());
  if (names.some((name) => !/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$/.test(name)))
    throw new InvalidArgumentError("Schemas are needed, as shop,billing or shop.events,billing.log.");
  return names;
};

const collect = (text: string, all: readonly string[] = []) => [...all, text];

export function console(program: Command): void {
  program
    .command("console")
    .summary("the store in the browser")
    .description(
      "Serves a page on this machine that shows the store as it works: the log, streams, traces, reactions, projections, tenants. Nothing is changed without --write, and nothing is loaded from the internet. Ctrl-C ends it.",
    )
    .addOption(new Option("--port <n>", "0: any free one").argParser(toPort).default(PORT))
    .option("--open", "open the browser")
    .option("--write", "allow to change subscriptions; each change must be confirmed")
    .option("--as <name>", "who makes changes, for the record (default: the user of this system)")
    .option("--no-pii", "personal data cannot be revealed")
    .option("--app <module>", "file that exports the app or its states: shows folded states")
    .addOption(
      new Option(
        "--tenants <schemas>",
        "only these beside the store itself, as a,b (default: all found)",
      ).argParser(toList),
    )
    .option("--also <url>", "one more database; may be given several times", collect)
    .addOption(new Option("--host <address>", "where to listen").default("127.0.0.1"))
    .option(
      "--i-know-that-others-can-connect",
      "needed if --host is not this machine only: HTTP is not encrypted",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle console --url postgres://localhost/shop --open\n  $ act-drizzle console --write --as ada --app ./dist/app.js",
    )
    .action(async (flags: ConsoleFlags, command: Command) => {
      const running = await start(optionsOf(flags, command), flags);
      report(running, flags);
      if (flags.open) openBrowser(running.once());
      await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
      await running.close();
    });
}

function optionsOf(flags: ConsoleFlags, command: Command): ConsoleOptions {
  const { port, host, write, pii, app, tenants, also = [] } = flags;
  if (!LOOPBACK.includes(host) && !flags.iKnowThatOthersCanConnect)
    throw new UsageError(
      `With --host ${host} others can connect, and what they and you send is not encrypted. Add --i-know-that-others-can-connect, or leave --host out and use an SSH tunnel.`,
    );
  const { json } = globalOptions(command);
  if (json) throw new UsageError("console has no output for --json.");
  const own = { statement_timeout: STATEMENT_TIMEOUT, connectionTimeoutMillis: CONNECT_TIMEOUT };
  const first = storeOptions(command);
  const { table = "events" } = first;
  return {
    databases: [{ ...own, ...first }, ...also.map((url) => ({ ...own, url }))],
    tenants: tenants?.map((name) => {
      const [schema = "", of = table] = name.split(".");
      return { schema, table: of };
    }),
    ...{ port, host, write, pii, app },
    user: flags.as ?? currentUser(),
  };
}

/** The server is loaded by this command alone. */
async function start(options: ConsoleOptions, { port }: ConsoleFlags): Promise<RunningConsole> {
  const { startConsole } = await import("../../console/start.ts");
  try {
    return await startConsole(options);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const code = "code" in error ? error.code : undefined;
    if (code === "EADDRINUSE") {
      process.stderr.write(
        `act-drizzle: port ${port} is in use, perhaps by another console: give --port <n>, or --port 0 for any free one.\n`,
      );
      throw new ExitCode(1);
    }
    if (code === "EACCES" || code === "EADDRNOTAVAIL")
      throw new UsageError(`It cannot listen there (${code}): check --host and --port.`);
    throw new UsageError(error.message);
  }
}

function report({ url }: RunningConsole, { write, host }: ConsoleFlags): void {
  if (!LOOPBACK.includes(host))
    process.stderr.write(
      "WARNING  Others can connect. Nothing is encrypted: who sees the traffic sees the token and the events.\n",
    );
  process.stdout.write(
    `Console  ${url}\n         ${write ? "Changes are possible, and are recorded here." : "Only reads: --write allows changes."} Ctrl-C ends it.\n`,
  );
}

/** Uses the system's own command. If there is none, the printed address is enough. */
function openBrowser(url: string): void {
  const [command = "", ...args] =
    process.platform === "darwin"
      ? ["open", url]
      : process.platform === "win32"
        ? ["cmd", "/c", "start", "", url.replaceAll("&", "^&")]
        : ["xdg-open", url];
  const child = spawn(command, args, { stdio: "ignore", detached: true });
  child.once("error", () => process.stderr.write(`No browser could be opened: open the address above.\n`));
  child.unref();
}
