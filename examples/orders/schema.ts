/**
 * The app's Drizzle schema: its own read models, the store's tables, and the relations between them.
 * drizzle.config.ts names read-models.ts only, because seed() makes the store's tables here.
 */

import { actTables } from "act-drizzle/schema";
import { relations } from "drizzle-orm";
import { orderLines, orders, positions, SCHEMA } from "./read-models.ts";

export { orderLines, orders, positions, SCHEMA };

/** The store's tables, for queries and joins. */
export const { events, streams, correlated } = actTables({ schema: SCHEMA });

export const orderRelations = relations(orders, ({ many }) => ({
  lines: many(orderLines),
  events: many(events),
  /** What reacts to this order, and how far it has come. */
  subscriptions: many(streams),
}));

export const lineRelations = relations(orderLines, ({ one }) => ({
  order: one(orders, { fields: [orderLines.stream], references: [orders.stream] }),
}));

export const eventRelations = relations(events, ({ one }) => ({
  order: one(orders, { fields: [events.stream], references: [orders.stream] }),
}));

export const streamRelations = relations(streams, ({ one }) => ({
  order: one(orders, { fields: [streams.source], references: [orders.stream] }),
}));
