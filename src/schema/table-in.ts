/** Drizzle's tables in a schema that is known when the program runs. It loads Drizzle, as tables.ts does. */
import { type PgTableFn, pgSchema, pgTable } from "drizzle-orm/pg-core";

/** The schema's name in Drizzle's types: undefined for `public`, and `string | undefined` for a name known only at run time. */
export type SchemaOf<Schema extends string> = string extends Schema
  ? string | undefined
  : Schema extends "public"
    ? undefined
    : Schema;

/** The function that creates tables in a schema. Drizzle has no pgSchema("public"): tables in `public` have no schema. */
export function tableIn<Schema extends string>(schema: Schema | "public"): PgTableFn<SchemaOf<Schema>>;
export function tableIn(schema: string) {
  return schema === "public" ? pgTable : pgSchema(schema).table;
}
