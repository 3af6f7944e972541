import { defineConfig } from "drizzle-kit";

/** `npx drizzle-kit generate --config examples/orders/drizzle.config.ts` after a change of read-models.ts. */
export default defineConfig({
  dialect: "postgresql",
  schema: "./examples/orders/read-models.ts",
  out: "./examples/orders/migrations",
  schemaFilter: ["act_orders"],
  dbCredentials: { url: process.env.DATABASE_URL ?? "" },
});
