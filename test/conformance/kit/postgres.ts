/** Looking behind a PostgreSQL store's back: its locks, its connections, the rows it reads. */
import type postgres from "postgres";
import { eventually } from "./eventually.ts";
import type { RawAccess } from "./section.ts";

/** The text that act-pg and every store beside it hash for the append lock. */
export const lockKeyOf = ({ schema, table }: Pick<RawAccess, "schema" | "table">): string =>
  `"${schema}"."${table}"`;

export const channelOf = ({ schema, table }: Pick<RawAccess, "schema" | "table">): string =>
  `act_commit_${schema}_${table}`;

/** The store's tables as quoted identifiers. */
export function tablesOf({ sql, schema, table }: RawAccess) {
  return {
    events: sql`${sql(schema)}.${sql(table)}`,
    streams: sql`${sql(schema)}.${sql(`${table}_streams`)}`,
    correlated: sql`${sql(schema)}.${sql(`${table}_correlated`)}`,
  };
}

export type Hold = { readonly sql: postgres.Sql; commit(): Promise<void>; rollback(): Promise<void> };

/** An open transaction of another client, in which the statements have run. */
export async function openTransaction(
  raw: RawAccess,
  run: (sql: postgres.Sql) => Promise<unknown>,
): Promise<Hold> {
  const sql = raw.connect();
  await sql.unsafe("begin");
  await run(sql);
  return {
    sql,
    commit: async () => void (await sql.unsafe("commit")),
    rollback: async () => void (await sql.unsafe("rollback")),
  };
}

export const holdAppendLock = (raw: RawAccess): Promise<Hold> =>
  openTransaction(raw, (sql) => sql`select pg_advisory_xact_lock(hashtext(${lockKeyOf(raw)}))`);

/** Resolves once so many backends of the database wait for an advisory lock. */
export async function advisoryWaiters({ sql }: RawAccess, count = 1): Promise<void> {
  await eventually(async () => {
    const waiting = await sql`
      select from pg_locks
      where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())`;
    return waiting.length >= count;
  });
}

/** Resolves once a backend of the database waits for another's row. */
export async function rowWaiters({ sql }: RawAccess): Promise<void> {
  await eventually(async () => {
    const waiting = await sql`
      select from pg_locks join pg_stat_activity using (pid)
      where not granted and locktype in ('transactionid', 'tuple') and datname = current_database()`;
    return waiting.length > 0;
  });
}

export type Backend = { readonly pid: number; readonly state: string; readonly query: string };

/** The server's processes for connections with this application_name. */
export async function backendsOf({ sql }: RawAccess, application: string): Promise<Backend[]> {
  return sql<Backend[]>`
    select pid, coalesce(state, '') as state, query from pg_stat_activity
    where application_name = ${application} and datname = current_database()`;
}

/** Rows that all scans of a table and its indexes have read so far, as the server counted them. */
async function rowsCounted({ sql, schema, table }: RawAccess): Promise<{ rows: number; scans: number }> {
  await sql`select pg_stat_clear_snapshot()`.catch(() => undefined);
  const [counted] = await sql<Array<{ rows: number; scans: number }>>`
    select (coalesce(t.seq_tup_read, 0) + coalesce(i.read, 0))::float8 as rows,
           (coalesce(t.seq_scan, 0) + coalesce(i.scans, 0))::float8 as scans
    from pg_stat_user_tables t
    left join (
      select relid, sum(idx_tup_read) as read, sum(idx_scan) as scans from pg_stat_user_indexes group by relid
    ) i using (relid)
    where t.schemaname = ${schema} and t.relname = ${table}`;
  return counted ?? { rows: 0, scans: 0 };
}

/**
 * How many rows of the events table were read for what `run` did on a store of its own. The server
 * counts for certain once a connection has ended, so `run` must end with the store's disposal.
 */
export async function rowsRead(
  raw: RawAccess,
  application: string,
  run: () => Promise<unknown>,
): Promise<number> {
  const before = await rowsCounted(raw);
  await run();
  await eventually(async () => (await backendsOf(raw, application)).length === 0);
  const after = await eventually(async () => {
    const now = await rowsCounted(raw);
    return now.scans > before.scans ? now : undefined;
  });
  return after.rows - before.rows;
}

/** Waits until the numbers of this table are settled, and gives the planner its statistics. */
export async function analyze(raw: RawAccess): Promise<void> {
  await raw.sql`analyze ${tablesOf(raw).events}`;
}
