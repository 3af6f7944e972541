import { getTableName } from "drizzle-orm";
import type { PgColumn, PgTable, PgTableWithColumns } from "drizzle-orm/pg-core";

/** The same table, its name a literal type instead of `string`. */
export type LiteralName<Table extends PgTable, Name extends string> = PgTableWithColumns<
  Omit<Table["_"]["config"], "name" | "columns"> & {
    name: Name;
    columns: {
      [Key in keyof Table["_"]["columns"]]: Table["_"]["columns"][Key] extends PgColumn<
        infer Config,
        infer Runtime,
        infer Type
      >
        ? PgColumn<Omit<Config, "tableName"> & { tableName: Name }, Runtime, Type>
        : never;
    };
  }
>;

/** `db.query` finds the tables of a relation by the type of their name, for which `string` fits every table. */
export function literalName<Table extends PgTable, Name extends string>(table: Table, name: Name) {
  if (getTableName(table) !== name)
    throw new Error(`The table's name is ${getTableName(table)}, not ${name}`);
  return table as unknown as LiteralName<Table, Name>;
}
