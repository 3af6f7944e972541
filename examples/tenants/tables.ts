/** The tables of one tenant, as Drizzle tables: the app's and the store's, in the tenant's schema. */

import { actTables } from "act-drizzle/schema";
import { pgSchema } from "drizzle-orm/pg-core";
import { balanceColumns } from "./balances.ts";

/** Small letters only, so that nothing has to be quoted by whoever looks at the database by hand. */
const NAME = /^[a-z][a-z0-9_]{0,30}$/;

/** The schema of a tenant. Throws for a name that cannot be one: it may come from a request. */
export function schemaOf(tenant: string): string {
  if (!NAME.test(tenant)) throw new Error(`Not the name of a tenant: ${JSON.stringify(tenant)}`);
  return `tenant_${tenant}`;
}

export function tablesOf(tenant: string) {
  const schema = schemaOf(tenant);
  return { balances: pgSchema(schema).table("balances", balanceColumns()), ...actTables({ schema }) };
}

export type TenantTables = ReturnType<typeof tablesOf>;
