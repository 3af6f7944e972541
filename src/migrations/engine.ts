/**
 * Features that the store needs of the server. Servers that speak PostgreSQL's protocol may lack some of them, or accept
 * the SQL and do nothing: without real advisory locks, readers would miss events.
 */
import type { Query, Row } from "../postgres/index.ts";

type Need = {
  /** The feature, as the error names it. */
  readonly name: string;
  /** A condition that is true if the server has it. It is evaluated in a transaction that holds an advisory lock. */
  readonly sql: string;
};

/** True if one of the signatures exists: they differ from version to version. */
const hasFunction = (...signatures: string[]) =>
  signatures.map((signature) => `to_regprocedure('${signature}') is not null`).join(" or ");

const NEEDS: readonly Need[] = [
  {
    name: "PostgreSQL 14 or newer",
    sql: "current_setting('server_version_num')::int >= 140000",
  },
  {
    name: "advisory locks that a transaction holds (they keep events in order)",
    sql: `exists (select 1 from pg_locks
    where locktype = 'advisory' and granted and virtualtransaction is not null and pid = pg_backend_pid())`,
  },
  {
    name: "sequences that tell their last value (they number events)",
    sql: hasFunction("pg_sequence_last_value(regclass)"),
  },
  {
    name: "pg_notify (it wakes other processes)",
    sql: hasFunction("pg_notify(text, text)"),
  },
  {
    name: "pg_logical_emit_message (it makes the search for a lost commit wait for the standbys)",
    sql: hasFunction(
      "pg_logical_emit_message(boolean, text, text)",
      "pg_logical_emit_message(boolean, text, text, boolean)",
    ),
  },
  {
    name: "pg_terminate_backend (it ends the session of a lost connection)",
    sql: hasFunction("pg_terminate_backend(int)", "pg_terminate_backend(int, bigint)"),
  },
];

/** One row: `server`, the server's version as it states it, and `lacks`, the indexes of missing NEEDS. */
export const engineQuery: Query = {
  text: `select left(version(), 80) as server, array_to_json(array_remove(array[
  ${NEEDS.map(({ sql }, n) => `case when ${sql} then null else ${n} end`).join(",\n  ")}], null)) as lacks`,
};

/** The names of the features that the server lacks. */
export function lacking(row: Row | undefined): string[] {
  const lacks: unknown = row?.lacks;
  if (!Array.isArray(lacks)) return [];
  return lacks.flatMap((n: unknown) => NEEDS[Number(n)]?.name ?? []);
}

/** @throws Error that names what the server lacks. */
export function refuseEngine(row: Row | undefined): void {
  const missing = lacking(row);
  if (missing.length === 0) return;
  throw new Error(
    `the server lacks ${missing.join(", ")}: it says that it is ${row?.server}. docs/reference/servers.md lists the servers that work`,
  );
}
