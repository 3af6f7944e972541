/** DatabaseError, and every code that the store gives advice on. docs/reference/errors.md is generated from these tables. */
import type { ErrorEntry } from "./connection-error.ts";

declare const sqlState: unique symbol;
/** An SQLSTATE: five digits or capital letters. https://www.postgresql.org/docs/current/errcodes-appendix.html */
export type SqlState = string & { readonly [sqlState]: true };

export const isSqlState = (code: string): code is SqlState => /^[0-9A-Z]{5}$/.test(code);

/** Errors that the store's own statements raise. */
export const STORE_REASONS = {
  EVENTS_LEFT_OUT: {
    happened:
      "a trigger on the events table left out events of this commit or truncate: nothing of it was written",
    applied: "No. Nothing of it was written.",
    advice: "fix or drop the trigger",
    retry: "Only when the trigger is fixed.",
  },
  IDS_SET_BY_TRIGGER: {
    happened:
      "a trigger on the events table gave events of this commit or truncate ids that are not from the log's sequence, so that readers could miss them: nothing of it was written",
    applied: "No. Nothing of it was written.",
    advice: "drop the trigger, or let it leave id to the sequence of the column's default",
    retry: "Only when the trigger is fixed.",
  },
  EVENTS_KEPT: {
    happened: "a trigger on the events table kept events from being deleted: nothing was changed",
    applied: "No. Nothing was changed.",
    advice: "fix or drop the trigger",
    retry: "Only when the trigger is fixed.",
  },
  TOO_LATE: {
    happened: "the message reached the server too late: nothing was written",
    applied: "No. Nothing was written.",
    advice: "try again",
    retry: "Yes. It happens behind a pooler (`prepare: false`) that holds a message back for 3 s.",
  },
} as const satisfies Readonly<Record<string, ErrorEntry>>;
export type StoreReason = keyof typeof STORE_REASONS;

type SqlStateEntry = {
  /** PostgreSQL's name of the condition. */
  readonly condition: string;
  readonly advice: string;
  readonly retry: string;
};
const YES = "Yes.";
const LATER = "Yes, after a pause.";
const FIXED = "Only when the cause is fixed.";
const entry = (condition: string, advice: string, retry = FIXED): SqlStateEntry => ({
  condition,
  advice,
  retry,
});

/**
 * The advice on each SQLSTATE. It follows the server's message, unless that can quote a value. One code may have several
 * causes: the text names those that the store, and its users' tables and triggers, can have.
 */
export const SQL_STATES = {
  "08P01": entry(
    "protocol_violation",
    "a pooler reports an unknown user or database with this code: check both; in transaction mode set prepare: false",
  ),
  "0A000": entry(
    "feature_not_supported",
    "the server does not support the statement: a rule on the store's tables rewrites it (drop the rule, and make a trigger of it), or an object of yours uses a column that has to change (drop it, seed, and create it again), or the server is older than PostgreSQL 14",
  ),
  "2200H": entry(
    "sequence_generator_limit_exceeded",
    `a sequence is used up: if it is that of the store's int4 ids, widen them to bigint (docs/guides/migrating-from-act-pg.md, "Widen the ids")`,
  ),
  "22003": entry(
    "numeric_value_out_of_range",
    `a number is out of range, in a column or in a trigger of yours; an int4 id ends at 2147483647 (docs/guides/migrating-from-act-pg.md, "Widen the ids")`,
  ),
  "22021": entry(
    "character_not_in_repertoire",
    "a string is not valid UTF-8 for this database: use a UTF8 database, or leave the character out",
  ),
  "22P05": entry(
    "untranslatable_character",
    "a character has no equivalent in the database's encoding: use a UTF8 database",
  ),
  "23503": entry(
    "foreign_key_violation",
    "a foreign key of yours refused it (see constraint and table): if it refers to the store's rows, delete the referring rows first, or drop the key; if it is on the store's table, first insert the row that it refers to",
  ),
  "23505": entry(
    "unique_violation",
    "a unique index refused a row (see constraint): if it is the store's (stream, version), another writer got there first: read the stream again and retry; if it is its primary key, ids are behind the log: call seed(); if it is yours, the value is there already",
    "As the advice says, by the constraint.",
  ),
  "25006": entry(
    "read_only_sql_transaction",
    "the server or the session is read-only: connect to the primary (target_session_attrs=read-write); if it is the primary, look at default_transaction_read_only",
  ),
  "26000": entry(
    "invalid_sql_statement_name",
    "a prepared statement is gone: behind a pooler in transaction mode set prepare: false; elsewhere something ran DEALLOCATE or DISCARD",
    YES,
  ),
  "28000": entry(
    "invalid_authorization_specification",
    "the server refused this user or host: check user, database, ssl and pg_hba.conf",
  ),
  "28P01": entry("invalid_password", "the server refused the password: check user and password"),
  "2BP01": entry(
    "dependent_objects_still_exist",
    "a view or another object of yours depends on the store's tables: drop it first",
  ),
  "3D000": entry("invalid_catalog_name", "the database does not exist: create it or correct `database`"),
  "3F000": entry(
    "invalid_schema_name",
    "the schema does not exist: call seed() first, or run the migrations",
  ),
  "40001": entry(
    "serialization_failure",
    "the transaction conflicted with another one and was rolled back: try again; on a standby, replication ended a read that took too long (max_standby_streaming_delay, hot_standby_feedback)",
    "Yes. The store itself has already tried again, but for a restore and an import.",
  ),
  "40P01": entry(
    "deadlock_detected",
    "two transactions waited for each other, and this one was rolled back: try again",
    "Yes. The store itself has already tried again, but for a restore and an import.",
  ),
  "42501": entry(
    "insufficient_privilege",
    "the role lacks a privilege on the store's objects, or row-level security is on for it: connect as the tables' owner, or grant what is missing, such as BYPASSRLS (docs/guides/security.md); if a sequence is behind rows with explicit ids, seed() as the owner moves it",
  ),
  "42703": entry(
    "undefined_column",
    "a column is missing: call seed() to bring the tables up to date; if it is not the store's, a trigger of yours asks for it",
  ),
  "42P01": entry(
    "undefined_table",
    "a table is missing: call seed() first, or run the migrations; if it is not the store's, a trigger of yours asks for it",
  ),
  "42P05": entry(
    "duplicate_prepared_statement",
    "a prepared statement already exists: behind a pooler in transaction mode set prepare: false",
  ),
  "53100": entry("disk_full", "the server's disk is full: make room", LATER),
  "53200": entry(
    "out_of_memory",
    "the server is out of memory; if it says shared memory, it has no room for more locks: raise max_locks_per_transaction",
    LATER,
  ),
  "53300": entry(
    "too_many_connections",
    "no connection is left: lower `max`, or raise the limit of the server (max_connections), the database or the role",
    LATER,
  ),
  "54000": entry(
    "program_limit_exceeded",
    "a limit of PostgreSQL is exceeded: an indexed name is at most about 2,700 bytes; if the NOTIFY queue is full, end the session that has long been in a transaction and listens (pg_notification_queue_usage())",
  ),
  "55P03": entry(
    "lock_not_available",
    "a lock was not granted in time (lock_timeout): find out which session holds it (pg_locks), or raise lock_timeout",
    LATER,
  ),
  "57014": entry(
    "query_canceled",
    "cancelled by statement_timeout (raise it, or find out why the statement was slow: writes to the log also wait for the append lock) or by an administrator",
    LATER,
  ),
  "57P01": entry(
    "admin_shutdown",
    "an administrator ended the connection, or the server is shutting down: try again",
    LATER,
  ),
  "57P02": entry(
    "crash_shutdown",
    "a process of the server crashed, and all connections were closed: try again",
    LATER,
  ),
  "57P03": entry(
    "cannot_connect_now",
    "the server is starting up, shutting down or recovering: try again",
    LATER,
  ),
} as const satisfies Readonly<Record<string, SqlStateEntry>>;
/** The SQLSTATEs that have an entry in docs/reference/errors.md. */
export type KnownSqlState = keyof typeof SQL_STATES;

/** Every `code` of a {@link DatabaseError}. All but those of the type SqlState have an entry in docs/reference/errors.md. */
export type DatabaseErrorCode = StoreReason | KnownSqlState | SqlState;

/** What to do about a SQLSTATE without an entry, by its class, which is its first two characters. */
export const SQL_STATE_CLASSES: Readonly<Record<string, string>> = {
  "08": "the connection failed: try again",
  "22": "a value was refused by PostgreSQL: check what is written, and triggers of yours",
  "23": "a constraint refused a row (see constraint and table): correct the value, or the constraint",
  "25": "the transaction is in the wrong state: look at triggers of yours, and at poolers",
  "28": "the server refused the login: check user, password and pg_hba.conf",
  "40": "the transaction was rolled back: try again",
  "42": "the statement does not fit the tables: call seed(), and look at triggers of yours",
  "53": "the server lacks a resource: look at its log, and try again",
  "54": "a limit of PostgreSQL is exceeded: write less at once",
  "55": "an object is in use, or in the wrong state: try again",
  "57": "an operator stepped in: try again",
  "58": "the server's system failed: look at its log",
  XX: "PostgreSQL failed inside: look at its log, and check the tables and indexes (amcheck)",
};
export const OTHER_CLASS = "look at the server's log";

/** Reads own properties only, because a server may send every text as a code. */
const ownOf = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined;

/** The advice on an SQLSTATE, on its class, or else on all others. */
export function adviceOn(code: SqlState): string {
  const known: Readonly<Record<string, SqlStateEntry>> = SQL_STATES;
  return ownOf(known, code)?.advice ?? ownOf(SQL_STATE_CLASSES, code.slice(0, 2)) ?? OTHER_CLASS;
}

/**
 * PostgreSQL refused a statement: the `cause` of a `StoreError`. It is the server's error without everything that can
 * carry event data, and its message ends with what to do.
 *
 * @example
 * ```ts
 * if (error instanceof StoreError && error.cause instanceof DatabaseError && error.cause.code === "42P01")
 *   await store.seed();
 * ```
 */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  /** SQLSTATE, or a reason of the store's own statements. */
  readonly code: DatabaseErrorCode;
  /** The constraint that refused a row. */
  readonly constraint?: string;
  /** The table that the server names. */
  readonly table?: string;

  constructor(code: DatabaseErrorCode, message: string, constraint?: string, table?: string) {
    super(message);
    this.code = code;
    this.constraint = constraint;
    this.table = table;
  }
}
