/** From whatever a driver throws to what a caller of the Store port may see. */
import { ConcurrencyError, StoreError, ValidationError } from "@rotorsoft/act";
import { isRecord } from "./codec/json.ts";

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

/** Classes whose messages speak of connections, objects and resources, not of rows. */
const TELLS_NO_VALUES = /^(08|0A|25|26|28|34|3D|3F|40|42|53|54|55|57|58|XX)/;

/** What to do about it, by SQLSTATE. A message of the server is kept where it cannot quote a value. */
const ADVICE: Readonly<Record<string, string>> = {
  "08P01": "a pooler says this: check its users and databases; in transaction mode set prepare: false",
  "2200H": `the ids are used up: an int4 id is widened to bigint (docs/migrating-from-act-pg.md, "Widen the ids")`,
  "22003": `a number is too large for its column; an int4 id ends at 2147483647 (docs/migrating-from-act-pg.md, "Widen the ids")`,
  "22021": "a string is not valid UTF-8 for this database",
  "22P05": "a character has no equivalent in the database's encoding: use a UTF8 database",
  "23503": "a foreign key of a table of yours refers to the store's rows: drop it, or delete its rows first",
  "23505": "another writer got there first: read the stream again and retry",
  "25006": "the server is read-only: connect to the primary (target_session_attrs=read-write)",
  "26000": "a prepared statement is gone: behind a pooler in transaction mode set prepare: false",
  "28000": "the server refused this user or host: check user, database, ssl and pg_hba.conf",
  "28P01": "the server refused the password: check user and password",
  "2BP01": "a view or another object of yours depends on the store's tables: drop it first",
  "3D000": "the database does not exist: create it or correct `database`",
  "3F000": "the schema does not exist: call seed() first, or run the migrations",
  "40001": "serialization failure that retries did not resolve",
  "40P01": "deadlock that retries did not resolve",
  "42501": "the role lacks a privilege on the store's objects",
  "42703": "a column is missing: call seed() to bring the tables up to date",
  "42P01": "a table is missing: call seed() first, or run the migrations",
  "42P05": "a prepared statement already exists: behind a pooler in transaction mode set prepare: false",
  "53100": "the server's disk is full",
  "53200": "the server is out of memory",
  "53300": "the server has no connection left: lower `max` or raise max_connections",
  "54000": "a value exceeds a limit of PostgreSQL (an indexed name is at most about 2,700 bytes)",
  "55P03": "a lock was not granted in time",
  "57014": "cancelled: it ran into statement_timeout (raise it, or find what holds the append lock)",
  "57P01": "an administrator closed the connection",
  "57P02": "the server crashed",
  "57P03": "the server is starting up or shutting down",
};

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
  if (/^[0-9A-Z]{5}$/.test(code)) {
    // What a trigger raises may quote the row, under any code.
    const raised = error.routine === "exec_stmt_raise" || error.routine === "exec_stmt_assert";
    const quotesValues = raised || !TELLS_NO_VALUES.test(code);
    const advice = ADVICE[code] ?? (code.startsWith("22") ? "a value was refused by PostgreSQL" : undefined);
    const said = quotesValues ? undefined : raw;
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
