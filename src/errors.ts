/** From whatever a driver throws to what a caller of the Store port may see. */
import { ConcurrencyError, StoreError, ValidationError } from "@rotorsoft/act";
import { isRecord } from "./values/json-dates.ts";

/** The connection was lost, or never came to be. `sent` is false when the statement certainly did not run. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: string;
  readonly sent: boolean;
  constructor(code: string, message: string, sent: boolean) {
    super(message);
    this.code = code;
    this.sent = sent;
  }
}

/** The connection was lost while a transaction was under way, and nothing tells whether it was committed. */
export const outcomeUnknown = (): ConnectionError =>
  new ConnectionError(
    "OUTCOME_UNKNOWN",
    "the connection was lost while the transaction was under way: it may or may not have been applied; load the stream before trying again",
    true,
  );

export const storeClosed = () =>
  new ConnectionError("STORE_CLOSED", "the store is disposed: create a new PostgresStore", false);

/** What is left of a server's error once everything that can carry event data is gone. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  /** SQLSTATE, five characters. */
  readonly code: string;
  readonly constraint?: string;
  readonly table?: string;
  constructor(code: string, message: string, constraint?: string, table?: string) {
    super(message);
    this.code = code;
    this.constraint = constraint;
    this.table = table;
  }
}

/** What the store's own statements raise. SQL alone has no RAISE, so the reason is the text of a failing cast. */
const REASONS = {
  events_left_out:
    "a trigger on the events table left out events of this commit: nothing of it was written; mend or drop the trigger",
  too_late: "the message reached the server too late: nothing was written; try again",
} as const;
export type Raised = keyof typeof REASONS;

/** An SQL expression of type int that fails when it is evaluated. Not a constant: that would fail when it is planned. */
export const raise = (reason: Raised): string => `('act-drizzle: ${reason} ' || clock_timestamp())::int`;

/** The reason that {@link raise} gave, in what the server said; each language has quotes of its own. */
export function raisedBy(error: unknown): Raised | undefined {
  if (!(error instanceof Error) || codeOf(error) !== "22P02") return undefined;
  const said = /act-drizzle: (\w+) /.exec(error.message)?.[1];
  return said === "events_left_out" || said === "too_late" ? said : undefined;
}

/** Classes whose messages speak of connections, objects and resources, not of rows. */
const TELLS_NO_VALUES = /^(08|0A|25|26|28|34|3D|3F|40|42|53|54|55|57|58|XX)/;

/**
 * What to do about it, by SQLSTATE. A message of the server is kept where it cannot quote a value, and comes first.
 * One code has several causes: a text says all that the store and the tables of its users can meet.
 */
const ADVICE: Readonly<Record<string, string>> = {
  "08P01":
    "a pooler says this of an unknown user or database: check both; in transaction mode set prepare: false",
  "2200H": `a sequence is used up: if it is that of the store's int4 ids, widen them to bigint (docs/guides/migrating-from-act-pg.md, "Widen the ids")`,
  "22003": `a number is out of range, in a column or in a trigger of yours; an int4 id ends at 2147483647 (docs/guides/migrating-from-act-pg.md, "Widen the ids")`,
  "22021": "a string is not valid UTF-8 for this database",
  "22P05": "a character has no equivalent in the database's encoding: use a UTF8 database",
  "23503":
    "a foreign key of yours stands in the way (see constraint and table): if it refers to the store's rows, delete its own rows first, or drop it; if it is on the store's table, insert first the row that it refers to",
  "23505":
    "a unique index refused a row (see constraint): if it is the store's (stream, version), another writer got there first: read the stream again and retry; if it is its primary key, ids are behind the log: call seed(); if it is yours, the value is there already",
  "25006":
    "the server or the session is read-only: connect to the primary (target_session_attrs=read-write), and if it is one, look at default_transaction_read_only",
  "26000":
    "a prepared statement is gone: behind a pooler in transaction mode set prepare: false; elsewhere something ran DEALLOCATE or DISCARD",
  "28000": "the server refused this user or host: check user, database, ssl and pg_hba.conf",
  "28P01": "the server refused the password: check user and password",
  "2BP01": "a view or another object of yours depends on the store's tables: drop it first",
  "3D000": "the database does not exist: create it or correct `database`",
  "3F000": "the schema does not exist: call seed() first, or run the migrations",
  "40001":
    "it came into conflict with another transaction and was undone: try again; on a standby, replication ended a read that took too long (max_standby_streaming_delay, hot_standby_feedback)",
  "40P01": "it and another transaction waited for each other, and it was undone: try again",
  "42501":
    "the role lacks a privilege on the store's objects (docs/guides/security.md), or a policy of row-level security refuses the row",
  "42703":
    "a column is missing: call seed() to bring the tables up to date; if it is none of the store's, a trigger of yours asks for it",
  "42P01":
    "a table is missing: call seed() first, or run the migrations; if it is none of the store's, a trigger of yours asks for it",
  "42P05": "a prepared statement already exists: behind a pooler in transaction mode set prepare: false",
  "53100": "the server's disk is full",
  "53200":
    "the server is out of memory; where it says shared memory, of room for locks: raise max_locks_per_transaction",
  "53300":
    "no connection is left: lower `max`, or raise the limit of the server (max_connections), the database or the role",
  "54000":
    "a limit of PostgreSQL is exceeded: an indexed name is at most about 2,700 bytes; where the NOTIFY queue is full, end the session that has long been in a transaction and listens (pg_notification_queue_usage())",
  "55P03":
    "a lock was not granted in time (lock_timeout): find out who holds it (pg_locks), or raise lock_timeout",
  "57014":
    "cancelled, by statement_timeout (raise it, or find out what took so long: what writes to the log also waits for the append lock) or by an administrator",
  "57P01": "an administrator ended the connection, or the server is shutting down: try again",
  "57P02": "a process of the server crashed, and all its connections went: try again",
  "57P03": "the server is starting up, shutting down or recovering: try again",
};

/** A text that a RAISE has made may quote the row, and the code is of its own choosing. */
const RAISED = "a trigger or function of yours raised it: its text is not shown, for it may quote the row";

const REFUSED = "a value was refused by PostgreSQL";

const str = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/**
 * A driver's error without its statement, parameters, detail, context and position, all of which can
 * quote rows. Many classes quote values in the message itself, 22 (data) and 23 (constraints) among them.
 */
export function sanitize(error: unknown): Error {
  if (error instanceof ConnectionError || error instanceof DatabaseError) return error;
  if (!isRecord(error)) return new Error("unknown failure");
  const reason = raisedBy(error);
  if (reason) return new DatabaseError(reason.toUpperCase(), REASONS[reason]);
  const code = str(error.code) ?? "";
  const raw = str(error.message) ?? "unknown failure";
  if (/^[0-9A-Z]{5}$/.test(code)) {
    const raised = error.routine === "exec_stmt_raise" || error.routine === "exec_stmt_assert";
    const advice = raised ? RAISED : (ADVICE[code] ?? (code.startsWith("22") ? REFUSED : undefined));
    const said = raised || !TELLS_NO_VALUES.test(code) ? undefined : raw;
    const text = [said, advice].filter(Boolean).join(": ") || "refused by PostgreSQL";
    return new DatabaseError(code, `${text} (${code})`, str(error.constraint_name), str(error.table_name));
  }
  if (code) return new ConnectionError(code, raw, true);
  // The driver's own TypeErrors and the like: their text names no values.
  return new Error(raw);
}

/** SQLSTATE of an error that came through {@link sanitize}, or the driver's code. */
export function codeOf(error: unknown): string | undefined {
  return isRecord(error) ? str(error.code) : undefined;
}

/** True for Act's own errors, which pass through every verb untouched. */
export function isDomainError(error: unknown): boolean {
  return error instanceof StoreError || error instanceof ConcurrencyError || error instanceof ValidationError;
}

/** `StoreError(operation, { cause })`, once. */
export function toStoreError(operation: string, error: unknown): Error {
  if (isDomainError(error)) return error as Error;
  // A pattern that is written well, but that PostgreSQL will not compile.
  if (codeOf(error) === "2201B")
    return new ValidationError(
      operation,
      undefined,
      "PostgreSQL finds the pattern too complex: make it shorter",
    );
  return new StoreError(operation, { cause: sanitize(error) });
}

/** Runs a verb; whatever fails in it surfaces as a StoreError of that verb, Act's own errors excepted. */
export async function guard<T>(operation: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toStoreError(operation, error);
  }
}
