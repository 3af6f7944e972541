import { defineConfig } from "drizzle-kit";

/** `npx drizzle-kit generate` in this folder after a change of balances.ts. */
export default defineConfig({
  dialect: "postgresql",
  schema: "./balances.ts",
  out: "./migrations",
});
