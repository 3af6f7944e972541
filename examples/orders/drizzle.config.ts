import { defineConfig } from "drizzle-kit";

/** `npx drizzle-kit generate` in this folder after a change of read-models.ts. */
export default defineConfig({
  dialect: "postgresql",
  schema: "./read-models.ts",
  out: "./migrations",
  schemaFilter: ["act_orders"],
  dbCredentials: { url: process.env.DATABASE_URL ?? "" },
});
