/** A read model beside the log, additive, so that an event that is counted twice, or not at all, shows in the sum. */
import { sql } from "drizzle-orm";
import { integer, type PgDatabase, type PgQueryResultHKT, pgSchema, text } from "drizzle-orm/pg-core";
import { beforeAll } from "vitest";
import { z } from "zod";
import type { PostgresStore, PostgresStoreOptions } from "../../../src/index.ts";
import { type InlineTransaction, inline } from "../../../src/projections/index.ts";
import { useDatabase } from "../../postgres/fixture.ts";

const Amount = z.object({ amount: z.number() });
export const events = { Deposited: Amount, Withdrawn: Amount };
export const meta = { correlation: "test", causation: {} };
export const deposited = (amount: number) => ({ name: "Deposited", data: { amount } });
export const withdrawn = (amount: number) => ({ name: "Withdrawn", data: { amount } });

/** The tables of a file's tests are in a schema of this name. */
const SCHEMA = "inline_models";
export const balances = pgSchema(SCHEMA).table("balances", {
  stream: text("stream").primaryKey(),
  balance: integer("balance").notNull(),
  events: integer("events").notNull(),
});

type Tx = Pick<InlineTransaction, "insert">;
export type Deposit = { readonly stream: string; readonly data: { readonly amount: number } };

/** One statement that adds the events of a commit to its stream's balance. */
export const add = (tx: Tx, deposits: readonly Deposit[], sign = 1) =>
  tx
    .insert(balances)
    .values(deposits.map(({ stream, data }) => ({ stream, balance: sign * data.amount, events: 1 })))
    .onConflictDoUpdate({
      target: balances.stream,
      set: { balance: sql`${balances.balance} + excluded.balance`, events: sql`${balances.events} + 1` },
    });

/** The sums of a batch, one row for each stream. */
export function addAll(
  tx: Pick<PgDatabase<PgQueryResultHKT>, "insert">,
  deposits: readonly Deposit[],
  table = balances,
) {
  const sums = new Map<string, { balance: number; events: number }>();
  for (const { stream, data } of deposits) {
    const { balance, events: count } = sums.get(stream) ?? { balance: 0, events: 0 };
    sums.set(stream, { balance: balance + data.amount, events: count + 1 });
  }
  return tx
    .insert(table)
    .values([...sums].map(([stream, sum]) => ({ stream, ...sum })))
    .onConflictDoUpdate({
      target: table.stream,
      set: {
        balance: sql`${table.balance} + excluded.balance`,
        events: sql`${table.events} + excluded.events`,
      },
    });
}

/** Counts each deposit when it is committed. */
export const counting = () => inline({ events, on: { Deposited: (given, tx) => add(tx, given) } });

/** Resolves when it is opened. */
export function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Stores on a database with the read model. */
export function useModels() {
  const fixture = useDatabase();
  beforeAll(async () => {
    await fixture.sql.unsafe(`create schema ${SCHEMA};
      create table ${SCHEMA}.balances (stream text primary key, balance int not null check (balance < 1000000), events int not null)`);
  });
  return {
    fixture,
    open: (options: PostgresStoreOptions): Promise<PostgresStore> => fixture.seeded(options),
    balances: async (like = "%") => {
      const rows = await fixture.sql<{ stream: string; balance: number; events: number }[]>`
        select stream, balance, events from inline_models.balances where stream like ${like}
        order by stream collate "C"`;
      return [...rows];
    },
    /** What the log says the balances must be. */
    folded: async ({ config }: PostgresStore) => {
      const rows = await fixture.sql<{ stream: string; balance: number; events: number }[]>`
        select stream, sum((data ->> 'amount')::int)::int as balance, count(*)::int as events
        from ${fixture.sql(config.schema)}.${fixture.sql(config.table)}
        where name = 'Deposited' group by stream order by stream collate "C"`;
      return [...rows];
    },
  };
}
