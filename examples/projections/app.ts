/** Accounts, and projections of their deposits: one in the commit itself, one beside, one that is added to a history. */
import { act, InMemoryCache, projection, type Store, state } from "@rotorsoft/act";
import { exactlyOnce, inline } from "act-drizzle/projections";
import { sql } from "drizzle-orm";
import type { NodePgDatabase } from "drizzle-orm/node-postgres";
import { z } from "zod";
import { balances, biggest, positions, statements } from "./tables.ts";

export const Deposited = z.object({ amount: z.int().min(1) });

const Account = state({ Account: z.object({ balance: z.int() }) })
  .init(() => ({ balance: 0 }))
  .emits({ Deposited })
  .patch({ Deposited: ({ data }, { balance }) => ({ balance: balance + data.amount }) })
  .on({ deposit: Deposited })
  .emit("Deposited")
  .build();

/** Adds up: an event that was applied twice would be in the balance twice. */
function balancesOf(db: NodePgDatabase) {
  const once = exactlyOnce({ db, projection: "balances", positions });
  return projection("balances")
    .on({ Deposited })
    .do(
      once.do(async ({ stream, data }, tx) => {
        await tx
          .insert(balances)
          .values({ account: stream, balance: data.amount, deposits: 1 })
          .onConflictDoUpdate({
            target: balances.account,
            set: {
              balance: sql`${balances.balance} + excluded.balance`,
              deposits: sql`${balances.deposits} + 1`,
            },
          });
      }),
    )
    .build();
}

/** One target per account, so that workers share them. */
function biggestOf(db: NodePgDatabase) {
  const once = exactlyOnce({ db, projection: "biggest", positions });
  return projection()
    .on({ Deposited })
    .do(
      once.do(async ({ stream, data }, tx) => {
        await tx
          .insert(biggest)
          .values({ account: stream, amount: data.amount })
          .onConflictDoUpdate({
            target: biggest.account,
            set: { amount: sql`greatest(${biggest.amount}, excluded.amount)` },
          });
      }),
    )
    .to(({ stream }) => ({ target: `biggest:${stream}`, source: stream }))
    .build();
}

/** Part of the commit: whoever has made a deposit finds it in the statement of the account. */
export const inlineStatements = inline({
  events: { Deposited },
  on: {
    Deposited: (events, tx) =>
      tx
        .insert(statements)
        .values({
          account: events[0]?.stream ?? "",
          total: events.reduce((sum, { data }) => sum + data.amount, 0),
        })
        .onConflictDoUpdate({
          target: statements.account,
          set: { total: sql`${statements.total} + excluded.total` },
        }),
  },
});

const ports = (store: Store) => ({ scoped: { store, cache: new InMemoryCache() }, settleDebounceMs: 0 });

/** The first release. */
export const buildFirst = (store: Store, db: NodePgDatabase) =>
  act().withState(Account).withProjection(balancesOf(db)).build(ports(store));

/** The second release has one more projection. */
export const buildSecond = (store: Store, db: NodePgDatabase) =>
  act().withState(Account).withProjection(balancesOf(db)).withProjection(biggestOf(db)).build(ports(store));
