import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "postgresql",
  schema: "./tables.ts",
  schemaFilter: ["act_demo"],
  dbCredentials: { url: process.env.DATABASE_URL ?? "" },
});
