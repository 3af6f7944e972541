/** The read model of each tenant. Without a schema here, so that one migration fits every tenant. */
import { bigint, integer, pgTable, text } from "drizzle-orm/pg-core";

export const balanceColumns = () => ({
  account: text("account").primaryKey(),
  owner: text("owner").notNull(),
  balance: bigint("balance", { mode: "number" }).notNull(),
  version: integer("version").notNull(),
});

/** What `drizzle-kit generate` reads; queries use `tablesOf(tenant)`. */
export const balances = pgTable("balances", balanceColumns());
