/** The table of positions: how far each projection is, kept in the database of its read models. */
import { sql } from "drizzle-orm";
import { bigint, integer, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";
import { checkTableOptions } from "../schema/names.ts";
import { tableIn } from "../schema/table-in.ts";

/** Where the table of positions is. */
export type ActPositionsOptions<Schema extends string = string, Name extends string = string> = {
  /** PostgreSQL schema. Default `public`. */
  readonly schema?: Schema | undefined;
  /** Name of the table. Default `act_positions`. */
  readonly table?: Name | undefined;
};

/**
 * The Drizzle table in which {@link exactlyOnce} keeps its positions. Export it from your Drizzle schema, so that
 * drizzle-kit pushes and migrates it with your own tables.
 *
 * - `projection`, `target`: whose position it is. For a `flush` the target is the stream of the row.
 * - `at`: the id of the last event that was handled; -1 before the first.
 * - `handlers`: which handlers are done with event `at`; null if all are.
 * - `generation`: a number from 0. A rebuild in place, and redeliver(), raise it, so that events that were fetched before are
 *   not written.
 * - `since`: when the generation began.
 *
 * A projection that was rebuilt has one more row, with an empty target: `at` is the id up to which its tables hold all
 * events, whatever their targets, and `handlers` begins with `rebuilding` while its handlers are held. A rebuild
 * in place adds the mark of the last event that it has applied.
 *
 * @example
 * ```ts
 * // your drizzle schema file
 * import { actPositions } from "act-drizzle/projections";
 * export const positions = actPositions();
 * ```
 */
export function actPositions<
  const Schema extends string = "public",
  const Name extends string = "act_positions",
>(options: ActPositionsOptions<Schema, Name> = {}) {
  checkTableOptions("actPositions", options);
  const { schema = "public", table = "act_positions" } = options;
  const create = tableIn<Schema>(schema);
  return create(
    table as Name,
    {
      projection: text("projection").notNull(),
      target: text("target").notNull(),
      at: bigint("at", { mode: "number" }).notNull().default(sql`'-1'`),
      handlers: text("handlers").array(),
      generation: integer("generation").notNull().default(0),
      since: timestamp("since", { withTimezone: true, mode: "date" }).notNull().defaultNow(),
    },
    (t) => [
      // No primary key of two columns: drizzle-kit 0.31 drops and adds it at each push.
      uniqueIndex(`${table}_target_ix`).on(t.projection, t.target),
    ],
  );
}

/** The table that {@link actPositions} makes. */
export type ActPositions<Schema extends string = string, Name extends string = string> = ReturnType<
  typeof actPositions<Schema, Name>
>;
