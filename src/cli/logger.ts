/** The store's own messages, on stderr: what a command prints on stdout may be read by a program. */
import type { Logger } from "@rotorsoft/act";

let silenced = false;

/** Runs `work` without the store's messages, which are meant for an app. */
export async function silently<T>(work: () => Promise<T>): Promise<T> {
  silenced = true;
  try {
    return await work();
  } finally {
    silenced = false;
  }
}

function write(first: unknown, message?: string): void {
  const text = typeof first === "string" ? first : message;
  // The framework's own messages are about an app. Here there is no app.
  if (!silenced && text?.startsWith("[act-drizzle]")) process.stderr.write(`${text}\n`);
}

const silent = () => {};

export const stderrLogger: Logger = {
  level: "info",
  fatal: write,
  // A failure is printed once, by the command.
  error: silent,
  warn: write,
  info: write,
  debug: silent,
  trace: silent,
  child: () => stderrLogger,
  dispose: async () => {},
};
