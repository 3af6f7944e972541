/** The app's Drizzle schema: a read model, and the positions of its projections. */

import { actPositions } from "act-drizzle/projections";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";

/** Everything of this example is in this schema: the store's tables and these. */
export const SCHEMA = "act_projections";
const schema = pgSchema(SCHEMA);

export const balances = schema.table("balances", {
  account: text("account").primaryKey(),
  balance: integer("balance").notNull(),
  deposits: integer("deposits").notNull(),
});
export const biggest = schema.table("biggest", {
  account: text("account").primaryKey(),
  amount: integer("amount").notNull(),
});
/** Written with the commit itself. */
export const statements = schema.table("statements", {
  account: text("account").primaryKey(),
  total: integer("total").notNull(),
});
/** In a project of your own: `import { actPositions } from "act-drizzle/projections"`. */
export const positions = actPositions({ schema: SCHEMA });
