/** Relations between the store's tables and the positions of projections, for `db.query`. */
import { is, type Relation, type Relations, relations, Table } from "drizzle-orm";
import type { ActPositions } from "../projections/positions.ts";
import type { ActTables } from "../schema/tables.ts";
import { checkOptionsOf, type Rule } from "../values/rules.ts";

const table = (made: string): Rule => ({
  takes: `a table of ${made}`,
  test: (value) => is(value, Table),
  required: true,
});
const RULES = {
  events: table("actTables()"),
  streams: table("actTables()"),
  positions: table("actPositions()"),
};

/** For a table whose type is a parameter, relations() infers only that its name is a string; db.query needs the name. */
const named = <T extends Table, R extends Record<string, Relation>>(_table: T, made: Relations<string, R>) =>
  made as Relations<T["_"]["name"], R>;

/**
 * Relations between the tables, for `db.query`. Export them from your Drizzle schema, beside the tables and your own
 * relations, which Drizzle adds to these.
 *
 * - an event: `subscriptions`, those whose source is its stream
 * - a subscription: `last`, the event that it has reached; `positions`, those of its target; `source_event`, an event of its
 *   source, which Drizzle needs as the other side of `subscriptions`
 * - a position: `last`, the event that it has reached; `subscription`, that of its target
 *
 * @throws TypeError if a table is missing, or is no table.
 * @example
 * ```ts
 * export const { events, streams, correlated } = actTables();
 * export const positions = actPositions();
 * export const { eventRelations, streamRelations, positionRelations } = actRelations({ events, streams, positions });
 * // …
 * await db.query.streams.findMany({ with: { last: true, positions: true } });
 * ```
 */
export function actRelations<
  Events extends ActTables["events"],
  Streams extends ActTables["streams"],
  Positions extends ActPositions,
>(tables: { readonly events: Events; readonly streams: Streams; readonly positions: Positions }) {
  checkOptionsOf("actRelations", tables, RULES);
  const { events, streams, positions } = tables;
  return {
    eventRelations: named(
      events,
      relations(events, ({ many }) => ({
        subscriptions: many(streams, { relationName: "act_source" }),
      })),
    ),
    streamRelations: named(
      streams,
      relations(streams, ({ one, many }) => ({
        source_event: one(events, {
          fields: [streams.source],
          references: [events.stream],
          relationName: "act_source",
        }),
        last: one(events, { fields: [streams.at], references: [events.id], relationName: "act_reached" }),
        positions: many(positions, { relationName: "act_target" }),
      })),
    ),
    positionRelations: named(
      positions,
      relations(positions, ({ one }) => ({
        subscription: one(streams, {
          fields: [positions.target],
          references: [streams.stream],
          relationName: "act_target",
        }),
        last: one(events, { fields: [positions.at], references: [events.id], relationName: "act_position" }),
      })),
    ),
  };
}
