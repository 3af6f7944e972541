/** The options that every command takes, and the store that it works on. */
import { userInfo } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { Admin } from "../admin/index.ts";
import { PostgresStore, type PostgresStoreOptions } from "../index.ts";
import { Output } from "./output.ts";

/** An error that is no fault of the command: its message is all that is printed. Exit code 2. */
export class UsageError extends Error {}

/** Containers may run under a user id without a name. */
export function currentUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}

/** Exit code after Ctrl+C: 128 and the number of SIGINT. */
export const INTERRUPTED = 130;

/** The command ends with this exit code, and has printed why. */
export class ExitCode extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

export type Session = { readonly store: PostgresStore; readonly admin: Admin; readonly output: Output };

export type GlobalOptions = {
  readonly url?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly json?: boolean;
  readonly timeout?: number;
  readonly prepare?: boolean;
};

/** NaN for anything but digits, with or without a minus before them: Number("") would be 0, and Number("0x10") 16. */
export const toWhole = (text: string): number => (/^-?\d+$/.test(text) ? Number(text) : Number.NaN);

export const toCount = (text: string): number => {
  const value = toWhole(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError("A whole number above 0 is needed.");
  return value;
};

export const toEventId = (text: string): number => {
  const value = toWhole(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError("The id of an event is needed.");
  return value;
};

const SPAN = /^(\d+)(s|m|h|d)$/;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A date must begin with its year: `new Date("5")` would be a month of 2001. */
const DATED = /^\d{4}(-|$)/;

function timeOf(text: string, sign: 1 | -1, from: string): Date {
  const [, amount, unit] = SPAN.exec(text) ?? [];
  const time = amount
    ? new Date(Date.now() + sign * Number(amount) * (UNIT_MS[unit ?? ""] ?? 0))
    : new Date(DATED.test(text) ? text : Number.NaN);
  if (Number.isNaN(time.getTime()))
    throw new InvalidArgumentError(`A time is needed, as 2h (${from}) or 2026-01-31T12:00Z.`);
  return time;
}

/** `15m`, `2h`, `3d` ago, or a date and time in ISO 8601. */
export const toTime = (text: string): Date => timeOf(text, -1, "ago");
/** `15m`, `2h`, `3d` from now, or a date and time in ISO 8601. */
export const toFuture = (text: string): Date => timeOf(text, 1, "from now");

/** The options that select the store and the form of the output. They may stand before or after the command's name. */
export const withStoreOptions = (command: Command): Command =>
  command
    .addOption(new Option("--url <url>", "the database").env("DATABASE_URL").helpGroup("Store:"))
    .addOption(new Option("--schema <name>", "PostgreSQL schema (default: public)").helpGroup("Store:"))
    .addOption(new Option("--table <name>", "events table (default: events)").helpGroup("Store:"))
    .addOption(new Option("--no-prepare", "behind a pooler in transaction mode").helpGroup("Store:"))
    .addOption(
      new Option("--timeout <s>", "longest statement, in seconds").argParser(toCount).helpGroup("Store:"),
    )
    .addOption(new Option("--json", "JSON instead of text").helpGroup("Output:"));

/** Few connections: a command must not take those that the app needs. */
const CONNECTIONS = 3;

/**
 * An option may stand before or after the command's name. The one after the name takes precedence, and both take
 * precedence over the environment.
 */
export function globalOptions(command: Command): GlobalOptions {
  const chain = [command, ...(command.parent ? [command.parent] : [])];
  const found: Record<string, unknown> = {};
  for (const written of [false, true])
    for (const each of [...chain].reverse())
      for (const [name, value] of Object.entries(each.opts()))
        if (value !== undefined && (each.getOptionValueSource(name) === "cli") === written)
          found[name] = value;
  return found;
}

/** The options of the store that the command works on. */
export function storeOptions(command: Command): PostgresStoreOptions {
  const { url, schema, table, timeout, prepare } = globalOptions(command);
  return {
    ...(url !== undefined && { url }),
    ...(schema !== undefined && { schema }),
    ...(table !== undefined && { table }),
    ...(timeout !== undefined && { statement_timeout: timeout * 1_000 }),
    ...(prepare === false && { prepare }),
  };
}

/** Opens the store, runs `work`, and closes it whatever happens. */
export async function withStore(command: Command, work: (session: Session) => Promise<void>): Promise<void> {
  const { json = false } = globalOptions(command);
  const store = openStore({
    ...storeOptions(command),
    max: CONNECTIONS,
    application_name: "act-drizzle command",
    // The user of a command sees how long it takes.
    slowStatementMillis: false,
  });
  try {
    await work({ store, admin: new Admin(store), output: new Output({ json }) });
  } finally {
    await store.dispose();
  }
}

function openStore(options: ConstructorParameters<typeof PostgresStore>[0]): PostgresStore {
  try {
    return new PostgresStore(options);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
