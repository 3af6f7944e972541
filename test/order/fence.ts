/** The append lock, seen from outside the store. */
import type postgres from "postgres";
import { connect } from "../support/database.ts";
import { lockText, type TableName } from "./lock.ts";

export type OpenTransaction = {
  /** The connection that the transaction is open on. */
  readonly sql: postgres.Sql;
  commit(): Promise<void>;
  rollback(): Promise<void>;
};

/** A transaction on a connection of its own, which `commit` and `rollback` close. */
export async function openTransaction(url: string): Promise<OpenTransaction> {
  const sql = connect(url);
  await sql.unsafe("begin isolation level read committed");
  const end = (statement: string) => async () => {
    await sql.unsafe(statement);
    await sql.end();
  };
  return { sql, commit: end("commit"), rollback: end("rollback") };
}

/** A transaction that holds the append lock, once it is granted. */
export async function holdFence(name: TableName): Promise<OpenTransaction> {
  const held = await openTransaction(name.url);
  await takeFence(held, name);
  return held;
}

export async function takeFence({ sql }: OpenTransaction, name: TableName): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext(${lockText(name)}))`;
}

/** Inserts an event as any foreign writer might, and returns its id. */
export async function insertRaw(
  sql: postgres.Sql,
  { schema, table }: TableName,
  stream: string,
  version: number,
): Promise<number> {
  const [row] = await sql`
    insert into ${sql(schema)}.${sql(table)} (name, data, stream, version, meta)
    values ('Raw', '{}', ${stream}, ${version}, '{"correlation": "raw", "causation": {}}')
    returning id`;
  return Number(row?.id);
}

/** Resolves when so many sessions of this database wait for an advisory lock: the signal that they have got there. */
export async function waitForWaiters(sql: postgres.Sql, count: number): Promise<void> {
  await until(`${count} sessions wait for an advisory lock`, async () => {
    const [row] = await sql`
      select count(*)::int as waiting from pg_locks
      where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())`;
    return row?.waiting === count;
  });
}

/** Polls a condition that has no event to wait for. */
export async function until(what: string, holds: () => Promise<boolean>, millis = 15_000): Promise<void> {
  const deadline = Date.now() + millis;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`Timed out: ${what}`);
    // What is probed is in the database or in another process, which does not call back.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** "pending" as long as the promise is; looked at after everything that was ready has run. */
export async function stateOf(promise: Promise<unknown>): Promise<"pending" | "fulfilled" | "rejected"> {
  const later = new Promise<"pending">((resolve) => setImmediate(() => resolve("pending")));
  return Promise.race([
    promise.then(
      () => "fulfilled" as const,
      () => "rejected" as const,
    ),
    later,
  ]);
}
