/** A Drizzle table as it is in another schema: what `apply` writes to while the table itself goes on answering. */
import { Column, is } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";

/** Drizzle's own keys; its types hide them. */
const SCHEMA = Symbol.for("drizzle:Schema");
const COLUMNS = Symbol.for("drizzle:Columns");

/** A column tells its table by this property. */
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
