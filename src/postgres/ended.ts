/** How the driver, the socket and the server say that a connection is gone. */
import { codeOf } from "../errors.ts";

const GONE = new Set<string | undefined>([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
]);

export const isGone = (error: unknown): boolean => GONE.has(codeOf(error));

/** The server's last words on a connection, a refused password for one: the close follows a moment later. */
export const isFatal = (error: unknown): error is Error => {
  if (!(error instanceof Error)) return false;
  // PgBouncer sends the severity in one field only.
  const severity = Reflect.get(error, "severity") ?? Reflect.get(error, "severity_local");
  return severity === "FATAL" || severity === "PANIC";
};
