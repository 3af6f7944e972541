/** The read models: Drizzle tables that the workers keep, for whatever the API lists and counts. */
import { actPositions } from "act-drizzle/projections";
import { bigint, index, integer, pgSchema, primaryKey, text, timestamp } from "drizzle-orm/pg-core";
import type { Status } from "./domain.ts";

/** Everything of this example lives in this schema: the store's tables and these. */
export const SCHEMA = "act_orders";
export const schema = pgSchema(SCHEMA);

const cents = (name: string) => bigint(name, { mode: "number" }).notNull();
const time = (name: string) => timestamp(name, { withTimezone: true });

export const orders = schema.table(
  "orders",
  {
    /** The stream of the order's events. */
    stream: text("stream").primaryKey(),
    customer: text("customer").notNull(),
    status: text("status").$type<Exclude<Status, "none">>().notNull(),
    total: cents("total"),
    paid: cents("paid"),
    placed: time("placed").notNull(),
    due: time("due"),
    /** Version of the newest event in this row. */
    version: integer("version").notNull(),
  },
  (t) => [
    index("orders_customer_ix").on(t.customer, t.placed),
    index("orders_status_ix").on(t.status, t.placed),
  ],
);

export const orderLines = schema.table(
  "order_lines",
  {
    stream: text("stream")
      .notNull()
      .references(() => orders.stream, { onDelete: "cascade" }),
    line: integer("line").notNull(),
    sku: text("sku").notNull(),
    quantity: integer("quantity").notNull(),
    price: cents("price"),
  },
  (t) => [primaryKey({ columns: [t.stream, t.line] })],
);

/** How far each target's view has come: moved in the transaction of what it wrote. */
export const positions = actPositions({ schema: SCHEMA });
