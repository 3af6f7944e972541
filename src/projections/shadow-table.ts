/** A Drizzle table in another schema: `apply` writes to it while the table itself stays in use. */
import { Column, is } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";

/** Drizzle's own keys; its types hide them. */
const SCHEMA = Symbol.for("drizzle:Schema");
const COLUMNS = Symbol.for("drizzle:Columns");

/** A copy of the column that belongs to `table`: Drizzle finds a column's table by its property `table`. */
const columnIn = (column: Column, table: PgTable): Column =>
  new Proxy(column, {
    get: (target, key) => (key === "table" ? table : Reflect.get(target, key)),
  });

export function inSchema<T extends PgTable>(table: T, schema: string): T {
  const columns: Record<string, Column> = {};
  const moved: T = new Proxy(table, {
    get: (target, key) => {
      if (key === SCHEMA) return schema;
      if (key === COLUMNS) return columns;
      const value: unknown = Reflect.get(target, key);
      return typeof key === "string" && is(value, Column) ? (columns[key] ?? value) : value;
    },
  });
  for (const [key, column] of Object.entries(table))
    if (is(column, Column)) columns[key] = columnIn(column, moved);
  return moved;
}
