/** An app to be tested: accounts, a projection of balances, and a reaction that thanks for large deposits. */
import { act, InvariantError, projection, type Scoped, state } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { z } from "zod";
import { actPositions, exactlyOnce } from "../../src/projections/index.ts";
import { type TestSetup, testKit } from "../../src/testing/index.ts";
import { nodePool } from "../support/node-pool.ts";

export const balances = pgTable("balances", {
  account: text("account").primaryKey(),
  balance: integer("balance").notNull(),
});
export const positions = actPositions();

const Opened = z.object({ owner: z.string() });
const Amount = z.object({ amount: z.number() });
const Thanked = z.object({ for: z.number() });

const isOpen = { description: "The account is open", valid: ({ owner }: { owner: string }) => owner !== "" };

export const Account = state({ Account: z.object({ owner: z.string(), balance: z.number() }) })
  .init(() => ({ owner: "", balance: 0 }))
  .emits({ Opened, Deposited: Amount, Thanked })
  .patch({
    Opened: ({ data }) => ({ owner: data.owner }),
    Deposited: ({ data }, { balance }) => ({ balance: balance + data.amount }),
    Thanked: () => ({}),
  })
  .on({ open: Opened })
  .emit("Opened")
  .on({ deposit: Amount })
  .given([isOpen])
  .emit("Deposited")
  .on({ thank: Thanked })
  .emit("Thanked")
  .build();

export const actor = { id: "1", name: "Ann" };
export { InvariantError };

export function buildBank(db: NodePgDatabase, options: { scoped: Scoped; settleDebounceMs: number }) {
  const once = exactlyOnce({ db, projection: "balances" });
  const view = projection("balances")
    .on({ Deposited: Amount })
    .do(
      once.do(async ({ stream, data }, tx) => {
        await tx
          .insert(balances)
          .values({ account: stream, balance: data.amount })
          .onConflictDoUpdate({
            target: balances.account,
            set: { balance: sql`${balances.balance} + excluded.balance` },
          });
      }),
    )
    .build();
  return act()
    .withState(Account)
    .withProjection(view)
    .on("Deposited")
    .do(async function thank({ stream, data }, _target, app) {
      if (data.amount >= 1_000) await app.do("thank", { stream, actor }, { for: data.amount });
    })
    .build(options);
}

/** The bank on a schema of its own. */
export async function bank(url?: string) {
  const opened: { db?: NodePgDatabase } = {};
  const build = ({ options, url: own, onDispose }: TestSetup) => {
    const pool = nodePool({ connectionString: own, max: 2 });
    onDispose(() => pool.end());
    opened.db = drizzle(pool);
    return buildBank(opened.db, options);
  };
  const kit = await testKit({ url, tables: { balances, positions }, build });
  const read = async () => (await opened.db?.select().from(balances).orderBy(balances.account)) ?? [];
  return { kit, read };
}
