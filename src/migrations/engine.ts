/**
 * What the store needs of the server, beyond SQL that it accepts or refuses by itself. Servers that speak PostgreSQL's
 * protocol may lack some of it, or accept it and do nothing: an advisory lock that is no lock would lose the order of events.
 */
import type { Query, Row } from "../postgres/index.ts";

type Need = {
  /** What is missing, as it reads in the error. */
  readonly name: string;
  /** True where it is there, in a transaction that holds an advisory lock. */
  readonly sql: string;
};

/** Signatures differ from version to version. */
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
    name: "pg_logical_emit_message (it finds out what became of a lost commit)",
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

/** One row: `server`, what it says it is, and `lacks`, the numbers of what is missing. */
export const engineQuery: Query = {
  text: `select left(version(), 80) as server, array_to_json(array_remove(array[
  ${NEEDS.map(({ sql }, n) => `case when ${sql} then null else ${n} end`).join(",\n  ")}], null)) as lacks`,
};

/** What the server lacks, in words. */
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
