/** The app of one tenant: the shared domain, with the tenant's store, cache, tables and settings. */
import { act, InMemoryCache, projection } from "@rotorsoft/act";
import type { PostgresStore } from "act-drizzle";
import { sql } from "drizzle-orm";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import { Account } from "./domain.ts";
import type { TenantTables } from "./tables.ts";

export type Settings = {
  /** What a new account gets. */
  readonly welcome: number;
};

export function buildApp(
  store: PostgresStore,
  db: PostgresJsDatabase,
  { balances }: TenantTables,
  { welcome }: Settings,
) {
  const balancesOf = projection("balances")
    .of(Account)
    .flush(async (rows) => {
      await db
        .insert(balances)
        .values(
          rows.map(({ stream: account, version, state: { owner, balance } }) => ({
            account,
            version,
            owner,
            balance,
          })),
        )
        .onConflictDoUpdate({
          target: balances.account,
          set: { owner: sql`excluded.owner`, balance: sql`excluded.balance`, version: sql`excluded.version` },
          setWhere: sql`excluded.version > ${balances.version}`,
        });
    })
    .build();

  const app = act()
    .withState(Account)
    .withProjection(balancesOf)
    .on("Opened")
    .do(async function greet({ stream }, _target, tenant) {
      // May be delivered again: an account that was welcomed emits nothing.
      await tenant.do("welcome", { stream, actor: { id: "welcome", name: "Welcome" } }, { amount: welcome });
    })
    .to(({ stream }) => ({ target: `welcome:${stream}`, source: stream }))
    // Not `store(…)`, of which a process has one: this app reads and writes here, its reactions included.
    .build({ scoped: { store, cache: new InMemoryCache() } });
  app.on("committed", () => app.settle());
  return app;
}

export type TenantApp = ReturnType<typeof buildApp>;
