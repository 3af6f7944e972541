/** Turns errors of the driver into errors that a caller of the Store port may see. */
import { ConcurrencyError, StoreError, ValidationError } from "@rotorsoft/act";
import { isRecord } from "../values/json-dates.ts";
import { TOO_COMPLEX } from "../values/pattern.ts";
import { ConnectionError, isConnectionErrorCode, withAdvice } from "./connection-error.ts";
import { adviceOn, DatabaseError, isSqlState, STORE_REASONS, type StoreReason } from "./database-error.ts";

export type Raised = Lowercase<StoreReason>;

/**
 * An SQL expression of type int that fails when it is evaluated. SQL has no RAISE, so the reason is the text of a cast
 * that fails. It contains the clock, because a constant expression would already fail in the planner.
 */
export const raise = (reason: Raised): string => `('act-drizzle: ${reason} ' || clock_timestamp())::int`;

/**
 * Matches the server's message about a failed cast whose text begins with a reason, in every language of the server, with
 * its quotation marks. Before that text there is no quotation mark, or only the quoted type (Japanese). So a message that
 * quotes a reason further on does not match.
 */
const REASON = /^(?:"integer"[^"]*|[^"«»„“”「『]*)["«»„“「『]\s?act-drizzle: (\w+) /;

/** Whether the server's error is the one that {@link raise} causes for this reason. */
export function isRaised(reason: Raised, error: unknown): boolean {
  return error instanceof Error && codeOf(error) === "22P02" && REASON.exec(error.message)?.[1] === reason;
}

/** The error for callers of a statement that failed by {@link raise}. */
export function raisedError(reason: Raised): DatabaseError {
  const code = REASON_CODES[reason];
  const { happened, advice } = STORE_REASONS[code];
  return new DatabaseError(code, withAdvice(happened, advice));
}

const REASON_CODES: Readonly<Record<Raised, StoreReason>> = {
  events_left_out: "EVENTS_LEFT_OUT",
  ids_set_by_trigger: "IDS_SET_BY_TRIGGER",
  events_kept: "EVENTS_KEPT",
  too_late: "TOO_LATE",
};

/** SQLSTATE classes whose messages name connections, objects and resources, but never values of rows. */
const TELLS_NO_VALUES = /^(08|0A|25|26|28|34|3D|3F|40|42|53|54|55|57|58|XX)/;

/** Replaces the message of a RAISE in a user's function, which may quote the row and may use every SQLSTATE. */
const RAISED =
  "a trigger or function of yours raised it: its text is not shown, because it may quote the row; see the server's log";

const str = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/**
 * A driver's error without its statement, parameters, detail, context and position, all of which can
 * quote rows. Many classes quote values in the message itself, 22 (data) and 23 (constraints) among them.
 */
export function sanitize(error: unknown): Error {
  if (error instanceof ConnectionError || error instanceof DatabaseError) return error;
  if (!isRecord(error)) return new Error("unknown failure");
  const code = str(error.code) ?? "";
  const raw = str(error.message) ?? "unknown failure";
  if (isSqlState(code)) {
    const raised = error.routine === "exec_stmt_raise" || error.routine === "exec_stmt_assert";
    const message = raised || !TELLS_NO_VALUES.test(code) ? "" : raw;
    const text = [message, raised ? RAISED : adviceOn(code)].filter(Boolean).join(": ");
    return new DatabaseError(code, `${text} (${code})`, str(error.constraint_name), str(error.table_name));
  }
  if (isConnectionErrorCode(code)) return new ConnectionError(code, raw, true);
  // An error of the driver itself, such as a TypeError, whose text names no values; or an error of a key provider.
  return new Error(code ? `${raw} (${code})` : raw);
}

/** The SQLSTATE of an error that the server or a pooler has sent. Node's codes may look like one: EPERM. */
export const serverCodeOf = (error: unknown): string | undefined =>
  isRecord(error) && str(error.severity ?? error.severity_local) !== undefined ? str(error.code) : undefined;

/** It names a role, or the value of a setting: both are in the statement, which is the app's own. */
const INVALID_PARAMETER_VALUE = "22023";

/**
 * What made an app's own statement fail, or its function: without the advice, which is about the store's statements. The text
 * of a server's error that may quote rows is left out. Undefined for a value that is not an Error.
 */
export function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = serverCodeOf(error);
  if (code === undefined) return error.message;
  const raised =
    isRecord(error) && (error.routine === "exec_stmt_raise" || error.routine === "exec_stmt_assert");
  return !raised && (TELLS_NO_VALUES.test(code) || code === INVALID_PARAMETER_VALUE)
    ? `${error.message} (${code})`
    : `the server refused a statement, see its log (${code})`;
}

/** The SQLSTATE of an error, or the driver's or Node's code. */
export function codeOf(error: unknown): string | undefined {
  return isRecord(error) ? str(error.code) : undefined;
}

/** Act's own errors, which pass through every verb untouched. */
const isDomainError = (error: unknown): error is Error =>
  error instanceof StoreError || error instanceof ConcurrencyError || error instanceof ValidationError;

/**
 * A `StoreError(operation, { cause })` whose message and stack end with the cause's message. Act's loggers print only the
 * message and the stack, so otherwise they would show `Store operation "subscribe" failed` and no reason.
 */
export function storeError(operation: string, cause: Error): StoreError {
  const error = new StoreError(operation, { cause });
  error.message += `: ${cause.message.replaceAll(/\s*\n\s*/g, " ")}`;
  // The stack's first line was written with the message that Act chose.
  Error.captureStackTrace(error, storeError);
  return error;
}

/** Wraps an error by {@link storeError}. Act's own errors, StoreError among them, are returned unchanged. */
export function toStoreError(operation: string, error: unknown): Error {
  if (isDomainError(error)) return error;
  // The pattern is valid, but PostgreSQL does not compile it.
  if (codeOf(error) === "2201B") return new ValidationError(operation, undefined, TOO_COMPLEX);
  return storeError(operation, sanitize(error));
}

/** Whether a statement failed because the server could not compile a pattern of it, or had no memory to match one. */
export const isTooComplex = (error: unknown): boolean =>
  error instanceof ValidationError
    ? error.details === TOO_COMPLEX
    : error instanceof StoreError &&
      error.cause instanceof DatabaseError &&
      error.cause.message.startsWith("invalid memory alloc request size");

/** Runs a verb. Errors become a StoreError of that verb, except Act's own errors. */
export async function guard<T>(operation: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toStoreError(operation, error);
  }
}
