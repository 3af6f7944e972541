/** The errors of act-drizzle/projections. No message carries data of an event or of a row. */
import { DrizzleQueryError } from "drizzle-orm";
import { codeOf, sanitize } from "../errors.ts";
import { faultOf, type Rules } from "../values/rules.ts";

/**
 * - `BAD_INPUT`: an argument is invalid; the message says which.
 * - `NO_TRANSACTIONS`: the driver of the database has no transactions.
 * - `POSITIONS_MISSING`: the table of positions does not exist, or lacks a column.
 * - `SUPERSEDED`: the events were fetched before a rebuild in place or redeliver(), or came while it was running. They are
 *   delivered again.
 * - `HANDLER_FAILED`: a query in the read models' database failed, mostly one of the handler. `cause` says why, unless the
 *   handler caught the error and went on.
 * - `TIMED_OUT`: a target did not catch up in time; see {@link CaughtUpTimeout}.
 * - `BLOCKED`: a target that is waited for is blocked.
 * - `CANNOT_SWAP`: a table cannot be replaced by its shadow, or the log was restored meanwhile; the message says why.
 * - `REBUILD_RUNS`: another process rebuilds the projection.
 * - `DISPOSED`: the wait ended because `dispose()` was called.
 */
export type ProjectionErrorCode =
  | "BAD_INPUT"
  | "NO_TRANSACTIONS"
  | "POSITIONS_MISSING"
  | "SUPERSEDED"
  | "HANDLER_FAILED"
  | "TIMED_OUT"
  | "BLOCKED"
  | "CANNOT_SWAP"
  | "REBUILD_RUNS"
  | "DISPOSED";

/** The error of the functions of act-drizzle/projections. `code` says what happened; the message also says what to do. */
export class ProjectionError extends Error {
  override readonly name: string = "ProjectionError";
  readonly code: ProjectionErrorCode;

  constructor(code: ProjectionErrorCode, message: string, options?: ErrorOptions) {
    super(`act-drizzle: ${message}`, options);
    this.code = code;
  }
}

/** @throws ProjectionError for an unknown option, and for a value that its rule does not allow. */
export function checkInput<T>(name: string, given: T, rules: Rules<NonNullable<T>>): void {
  const fault = faultOf(given, rules);
  if (fault !== undefined) throw badInput(`${name}: ${fault}.`);
}

export const badInput = (message: string): ProjectionError => new ProjectionError("BAD_INPUT", message);

/** Another rebuild of the projection is running, or has just ended. `error`: the lock that was not granted. */
export const rebuildRuns = (projection: string, error?: unknown): ProjectionError =>
  new ProjectionError(
    "REBUILD_RUNS",
    `rebuild: another process rebuilds ${JSON.stringify(projection)}, or has just rebuilt it: wait for it, or stop it and run this again.`,
    error === undefined ? undefined : { cause: sanitize(causeOf(error)) },
  );

/** undefined_table, undefined_column, invalid_schema_name, and ON CONFLICT without its unique index. */
const NOT_THERE = new Set(["42P01", "42703", "3F000", "42P10"]);

/** The error of the server or the driver. DrizzleQueryError wraps it, and its own message holds every parameter. */
const causeOf = (error: unknown): unknown =>
  error instanceof DrizzleQueryError ? (error.cause ?? new Error("the query failed")) : error;

/** SQLSTATE of a query that failed, whichever driver ran it. */
export const sqlStateOf = (error: unknown): string | undefined => codeOf(causeOf(error));

/** An error of a statement on the positions. */
export function positionsError(error: unknown, table: string): unknown {
  if (!NOT_THERE.has(sqlStateOf(error) ?? "")) return error;
  return new ProjectionError(
    "POSITIONS_MISSING",
    `the table of positions ${table} is missing or incomplete (${sqlStateOf(error)}): export actPositions() from your Drizzle schema, then run drizzle-kit push, or drizzle-kit generate and migrate. Nothing was written.`,
    { cause: sanitize(causeOf(error)) },
  );
}

/**
 * An error as the framework may log it, and write it into the subscription: without the parameters of the query, which
 * are values of events. Errors that do not come from a query, such as Act's signals, are returned unchanged.
 */
export function withoutValues(error: unknown, doing: string): unknown {
  if (!(error instanceof DrizzleQueryError)) return error;
  const cause = sanitize(causeOf(error));
  return new ProjectionError("HANDLER_FAILED", `${doing}: ${cause.message}`, { cause });
}

/** A target that has not yet handled the event that is waited for. */
export type Lagging = {
  readonly target: string;
  /** The id of the last event that it has acknowledged; -1: none. */
  readonly at: number;
  /** The id of the event that is waited for: the last one for this target. */
  readonly waitsFor: number;
};

/** Projections did not catch up in time. They continue, so the read models will show the event later. */
export class CaughtUpTimeout extends ProjectionError {
  override readonly name = "CaughtUpTimeout";
  /** How far each target is that has not caught up. */
  readonly behind: readonly Lagging[];

  constructor(id: number, timeout: number, behind: readonly Lagging[]) {
    const lags = behind.map(
      ({ target, at, waitsFor }) => `${JSON.stringify(target)} is at ${at} of ${waitsFor}`,
    );
    if (lags.length === 0) lags.push("the log did not say in time how far its targets are");
    super(
      "TIMED_OUT",
      `caughtUp: event ${id} was not handled within ${timeout} ms: ${lags.slice(0, 5).join(", ")}${lags.length > 5 ? ` and ${lags.length - 5} more` : ""}. The event is stored: check that workers run, or raise the timeout.`,
    );
    this.behind = behind.map(({ target, at, waitsFor }) => ({ target, at, waitsFor }));
  }
}
