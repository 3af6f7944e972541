/**
 * The app's log, by Act's port. A logger is the app's code, and may throw: its stream is closed, or its disk is full. Then a
 * commit that is stored would be reported as failed, or a lost connection would end the process. So its failures are kept
 * from the caller, and the process warns of the first one.
 */
import { log as port } from "@rotorsoft/act";

type Log = Readonly<Record<"info" | "warn" | "error", (text: string) => void>>;

let warned = false;

function failed(error: unknown): void {
  if (warned) return;
  warned = true;
  const kind = error instanceof Error ? error.name : "not an Error";
  process.emitWarning(
    `act-drizzle: the logger of the app failed (${kind}), so messages are missing from the log; this is said once. Look at what was given to log() of @rotorsoft/act`,
  );
}

function write(level: keyof Log, text: string): void {
  try {
    // The type says that it returns nothing, but an async function is assignable to that type.
    const result: unknown = port()[level](text);
    Promise.resolve(result).catch(failed);
  } catch (error) {
    failed(error);
  }
}

const safe: Log = {
  info: (text) => write("info", text),
  warn: (text) => write("warn", text),
  error: (text) => write("error", text),
};

/** Use it in place of Act's `log()`. Its methods never throw. */
export const log = (): Log => safe;
