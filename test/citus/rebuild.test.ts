/** A read model in the tenant's schema, on its worker, is filled anew from the log. Its positions are on the coordinator. */
import { sql } from "drizzle-orm";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/postgres-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { actPositions, exactlyOnce, rebuild } from "../../src/projections/index.ts";
import { titled } from "../faults/failover/programs.ts";
import { tables as pushed } from "../projections/fixture.ts";
import { connect } from "../support/database.ts";
import { reason, tenantUrl } from "./cluster.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();

/** A log of seven deposits, and balances that are wrong. */
async function deposited() {
  const store = await cluster.tenant();
  const { schema } = store.config;
  const balances = pgSchema(schema).table("balances", {
    stream: text("stream").primaryKey(),
    balance: integer("balance").notNull(),
  });
  const client = connect(tenantUrl(), { max: 3 });
  onTestFinished(() => client.end());
  await client.unsafe(`create table "${schema}".balances (stream text primary key, balance int not null)`);
  await client.unsafe(`insert into "${schema}".balances values ('s0', 999)`);
  // A schema that stays on the coordinator.
  const local = cluster.schema();
  await cluster.sql.unsafe(`create schema "${local}"`);
  const positions = actPositions({ schema: local });
  for (const statement of await pushed({ positions })) await cluster.sql.unsafe(statement);
  for (let n = 1; n <= 7; n++)
    await store.commit(`s${n % 3}`, [{ name: "Deposited", data: { amount: n } }], meta);
  const db = drizzle(client);
  const add = (tx: Pick<typeof db, "insert">, to: typeof balances, stream: string, balance: number) =>
    tx
      .insert(to)
      .values({ stream, balance })
      .onConflictDoUpdate({ target: to.stream, set: { balance: sql`${to.balance} + excluded.balance` } });
  const options = {
    ...{ db, store, projection: "balances", positions, tables: { balances } },
    events: { Deposited: z.object({ amount: z.number() }) },
  };
  const found = async () => [...(await client.unsafe(`select * from "${schema}".balances order by stream`))];
  return { balances, options, add, found };
}

const right = [
  { stream: "s0", balance: 9 },
  { stream: "s1", balance: 12 },
  { stream: "s2", balance: 7 },
];

describe.skipIf(reason !== "")(titled("rebuilds on Citus", reason), () => {
  cluster.open();

  for (const inPlace of [false, true])
    test(`fill the table ${inPlace ? "in place" : "by a shadow"}, and handlers go on behind it`, async () => {
      const { options, balances, add, found } = await deposited();
      const result = await rebuild({
        ...options,
        inPlace,
        apply: async (events, tx, tables) => {
          for (const { stream, data } of events) await add(tx, tables.balances, stream, data.amount);
        },
      });
      expect(result).toMatchObject({ events: 7, at: 7, from: -1 });
      expect(await found()).toEqual(right);
      const { db, projection, positions } = options;
      const once = exactlyOnce({ db, projection, positions }).do(
        (event: { id: number; amount: number }, tx) => add(tx, balances, "s3", event.amount),
      );
      const deliver = (id: number) => once({ id, amount: id }, "balances");
      if (inPlace) await expect(deliver(8)).rejects.toThrow("they are delivered again");
      for (const id of [7, 8, 8]) await deliver(id);
      expect(await found()).toEqual([...right, { stream: "s3", balance: 8 }]);
    });

  test("refuse an apply that writes the table itself: an empty shadow would take its place", async () => {
    const { options, balances, add, found } = await deposited();
    const filling = (own: boolean) =>
      rebuild({
        ...options,
        apply: async (events, tx, tables) => {
          for (const { stream, data } of events)
            await add(tx, own ? balances : tables.balances, stream, data.amount);
        },
      });
    await expect(filling(true)).rejects.toThrow("apply has used one of your tables instead of its shadow");
    expect(await found()).toEqual([{ stream: "s0", balance: 999 }]);
    await filling(false);
    expect(await found()).toEqual(right);
  });
});
