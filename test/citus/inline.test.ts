/** A read model in the tenant's schema, on its worker, is written in the transaction of the commit. */
import { sql } from "drizzle-orm";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { inline } from "../../src/projections/index.ts";
import { titled } from "../faults/failover/programs.ts";
import { reason } from "./cluster.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();
const deposited = (amount: number) => ({ name: "Deposited", data: { amount } });

describe.skipIf(reason !== "")(titled("inline projections on Citus", reason), () => {
  cluster.open();

  test("are part of the commit, also of several to one stream; what a handler refuses leaves no trace", async () => {
    const schema = cluster.schema();
    const balances = pgSchema(schema).table("balances", {
      stream: text("stream").primaryKey(),
      balance: integer("balance").notNull(),
    });
    const store = await cluster.tenant({
      schema,
      inline: inline({
        events: { Deposited: z.object({ amount: z.number() }) },
        on: {
          Deposited: (given, tx) =>
            tx
              .insert(balances)
              .values(given.map(({ stream, data }) => ({ stream, balance: data.amount })))
              .onConflictDoUpdate({
                target: balances.stream,
                set: { balance: sql`${balances.balance} + excluded.balance` },
              }),
        },
      }),
    });
    await cluster.sql.unsafe(
      `create table "${schema}".balances (stream text primary key, balance int not null check (balance < 1000))`,
    );
    await Promise.all(["a", "b", "a", "c", "a"].map((stream) => store.commit(stream, [deposited(10)], meta)));
    await expect(store.commit("b", [deposited(5_000)], meta)).rejects.toThrow();
    await store.commit("b", [deposited(1)], meta, 0);
    const rows = await cluster.sql.unsafe(`select stream, balance from "${schema}".balances order by stream`);
    expect([...rows]).toEqual([
      { stream: "a", balance: 30 },
      { stream: "b", balance: 11 },
      { stream: "c", balance: 10 },
    ]);
    expect(await store.query(() => {}, {})).toBe(6);
  });
});
