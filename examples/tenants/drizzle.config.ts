import { defineConfig } from "drizzle-kit";

/** `npx drizzle-kit generate --config examples/tenants/drizzle.config.ts` after a change of balances.ts. */
export default defineConfig({
  dialect: "postgresql",
  schema: "./examples/tenants/balances.ts",
  out: "./examples/tenants/migrations",
});
