/** Looking behind a PostgreSQL store's back: its locks, its connections, the rows it reads. */
import { randomBytes } from "node:crypto";
import type postgres from "postgres";
import { eventually } from "./eventually.ts";
import type { RawAccess, Stored } from "./section.ts";

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

/** For a schema or a role: the database and the server may be others', too, and hold what a run that was ended has left. */
export const unusedName = (prefix: string): string => `${prefix}_${randomBytes(4).toString("hex")}`;

/** Where a table is. Locks and counts of its rows, and triggers, are there. */
export const storedOf = async (raw: RawAccess, table = raw.table): Promise<Stored> =>
  raw.stored?.(table) ?? {
    sql: raw.sql,
    name: `"${raw.schema}"."${table}"`,
    ended: async () => true,
  };

export type Hold = { readonly sql: postgres.Sql; commit(): Promise<void>; rollback(): Promise<void> };

/** An open transaction of another client, in which the statements have run. `url`: where, if not at the store's server. */
export async function openTransaction(
  raw: RawAccess,
  run: (sql: postgres.Sql) => Promise<unknown>,
  url?: string,
): Promise<Hold> {
  const sql = raw.connect(url);
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

/** Resolves once a backend waits for the append lock of this log: others may use the database, too. */
export async function appendWaiters(raw: RawAccess): Promise<void> {
  await eventually(async () => {
    const waiting = await raw.sql`
      select from pg_locks
      where locktype = 'advisory' and not granted
        and objid::bigint = hashtext(${lockKeyOf(raw)})::bigint & 4294967295
        and database = (select oid from pg_database where datname = current_database())`;
    return waiting.length > 0;
  });
}

/** Resolves once a backend that uses this table waits for another's row. */
export async function rowWaiters({ sql, name }: Pick<Stored, "sql" | "name">): Promise<void> {
  await eventually(async () => {
    const waiting = await sql`
      select from pg_locks w where not granted and locktype in ('transactionid', 'tuple')
        and exists (select from pg_locks t where t.pid = w.pid and t.granted and t.relation = ${name}::text::regclass)`;
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
async function rowsCounted({ sql, name }: Stored): Promise<{ rows: number; scans: number }> {
  await sql`select pg_stat_clear_snapshot()`.catch(() => undefined);
  const [counted] = await sql<Array<{ rows: number; scans: number }>>`
    select (coalesce(t.seq_tup_read, 0) + coalesce(i.read, 0))::float8 as rows,
           (coalesce(t.seq_scan, 0) + coalesce(i.scans, 0))::float8 as scans
    from pg_stat_user_tables t
    left join (
      select relid, sum(idx_tup_read) as read, sum(idx_scan) as scans from pg_stat_user_indexes group by relid
    ) i using (relid)
    where t.relid = ${name}::text::regclass`;
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
  const stored = await storedOf(raw);
  const before = await rowsCounted(stored);
  await run();
  await eventually(async () => (await backendsOf(raw, application)).length === 0);
  await eventually(stored.ended);
  const after = await eventually(async () => {
    const now = await rowsCounted(stored);
    return now.scans > before.scans ? now : undefined;
  });
  return after.rows - before.rows;
}

/** Waits until the numbers of this table are settled, and gives the planner its statistics. */
export async function analyze(raw: RawAccess): Promise<void> {
  await raw.sql`analyze ${tablesOf(raw).events}`;
}
