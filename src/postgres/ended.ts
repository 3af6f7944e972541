/** Recognizes the errors by which the driver, the socket and the server report a closed connection. */
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

/** A FATAL or PANIC error, such as a wrong password: the server closes the connection right after it. */
export const isFatal = (error: unknown): error is Error => {
  if (!(error instanceof Error)) return false;
  // PgBouncer sends the severity in one field only.
  const severity = Reflect.get(error, "severity") ?? Reflect.get(error, "severity_local");
  return severity === "FATAL" || severity === "PANIC";
};
