import type postgres from "postgres";
import type { TableName } from "../order/lock.ts";

/** The file behind each table and index of a store, by its suffix: a rewrite gives it another one. */
export async function filesOf(
  sql: postgres.Sql,
  { schema, table }: TableName,
): Promise<Record<string, number>> {
  const rows = await sql<Array<{ relname: string; relfilenode: number }>>`
    select relname, relfilenode from pg_class
    where relnamespace = ${schema}::regnamespace and starts_with(relname, ${table}) and relkind in ('r', 'i')`;
  return Object.fromEntries(
    rows.map(({ relname, relfilenode }) => [relname.slice(table.length), relfilenode]),
  );
}
