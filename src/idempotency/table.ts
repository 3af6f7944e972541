/** The table of idempotency keys. */
import { boolean, index, text, timestamp, uuid } from "drizzle-orm/pg-core";
import { checkTableOptions } from "../schema/names.ts";
import { tableIn } from "../schema/table-in.ts";

/** Where the table of keys is. */
export type ActIdempotencyOptions<Schema extends string = string, Name extends string = string> = {
  /** PostgreSQL schema. Default `public`. */
  readonly schema?: Schema | undefined;
  /** Name of the table. Default `act_idempotency`. */
  readonly table?: Name | undefined;
};

/**
 * The Drizzle table of {@link PostgresIdempotency}. Export it from your Drizzle schema, so that drizzle-kit pushes and
 * migrates it with your own tables; or call `seed()`.
 *
 * - `key`: given by the caller. Two requests with one key count as the same request.
 * - `committed`: its handler has succeeded. Else the key is reserved.
 * - `holder`: which instance has reserved it.
 * - `expires_at`: when the key is free again.
 */
export function actIdempotency<
  const Schema extends string = "public",
  const Name extends string = "act_idempotency",
>(options: ActIdempotencyOptions<Schema, Name> = {}) {
  checkTableOptions("actIdempotency", options);
  const { schema = "public", table = "act_idempotency" } = options;
  const create = tableIn<Schema>(schema);
  return create(
    table as Name,
    {
      key: text("key").primaryKey(),
      committed: boolean("committed").notNull().default(false),
      holder: uuid("holder"),
      expires_at: timestamp("expires_at", { withTimezone: true, mode: "date" }).notNull(),
    },
    // Finds expired keys without reading the others.
    (t) => [index(`${table}_expires_ix`).on(t.expires_at)],
  );
}
