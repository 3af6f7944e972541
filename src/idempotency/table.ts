/** The table of idempotency keys. */
import {
  boolean,
  index,
  type PgTableFn,
  pgSchema,
  pgTable,
  text,
  timestamp,
  uuid,
} from "drizzle-orm/pg-core";

export type ActIdempotencyOptions<Schema extends string = string, Name extends string = string> = {
  /** PostgreSQL schema. Default `public`. */
  readonly schema?: Schema | undefined;
  /** Name of the table. Default `act_idempotency`. */
  readonly table?: Name | undefined;
};

/** What Drizzle calls a table's schema: none for `public`, either where the schema is not known before it runs. */
type SchemaOf<Schema extends string> = string extends Schema
  ? string | undefined
  : Schema extends "public"
    ? undefined
    : Schema;

/**
 * The Drizzle table of {@link PostgresIdempotency}. Export it from your Drizzle schema, so that drizzle-kit pushes and
 * migrates it with your own tables; or call `seed()`.
 *
 * - `key`: what the caller says makes a request the same as another.
 * - `committed`: its handler has succeeded. Else the key is reserved.
 * - `holder`: which instance has reserved it.
 * - `expires_at`: when the key is free again.
 */
export function actIdempotency<
  const Schema extends string = "public",
  const Name extends string = "act_idempotency",
>(options: ActIdempotencyOptions<Schema, Name> = {}) {
  const { schema = "public", table = "act_idempotency" } = options;
  // Drizzle has no pgSchema("public"): its tables are the ones without a schema.
  const create: PgTableFn<SchemaOf<Schema>> =
    schema === "public" ? (pgTable as never) : (pgSchema(schema).table as never);
  return create(
    table as Name,
    {
      key: text("key").primaryKey(),
      committed: boolean("committed").notNull().default(false),
      holder: uuid("holder"),
      expires_at: timestamp("expires_at", { withTimezone: true, mode: "date" }).notNull(),
    },
    // What has expired is found without a look at the rest.
    (t) => [index(`${table}_expires_ix`).on(t.expires_at)],
  );
}
