/**
 * Read your own write, deliver everything twice, add a projection to a history, and rebuild one, on the database at DATABASE_URL. In
 * this repository: `npm run example:projections`.
 */
import { ConsoleLogger, log } from "@rotorsoft/act";
import { PostgresStore } from "act-drizzle";
import { backfill, progressOf, rebuild } from "act-drizzle/projections";
import { generateDrizzleJson, generateMigration } from "drizzle-kit/api";
import { count, eq, max, sql, sum } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import pg from "pg";
import { buildFirst, buildSecond, Deposited, inlineStatements } from "./app.ts";
import { balances, biggest, positions, SCHEMA, statements } from "./tables.ts";

const ACCOUNTS = 40;
const actor = { id: "1", name: "User" };

log(new ConsoleLogger({ level: "error" }));
const url = process.env.DATABASE_URL ?? "postgres://postgres:postgres@localhost:5432/postgres";
const pool = new pg.Pool({ connectionString: url, max: 4 });
const closing: (() => Promise<unknown>)[] = [() => pool.end()];
try {
  const db = drizzle(pool);
  await db.execute(sql.raw(`drop schema if exists ${SCHEMA} cascade`));
  const store = new PostgresStore({ url, schema: SCHEMA, inline: inlineStatements });
  closing.push(() => store.dispose());
  await store.seed();
  // What `drizzle-kit push` would do.
  const wanted = generateDrizzleJson({ balances, biggest, positions, statements });
  for (const statement of await generateMigration(generateDrizzleJson({}), wanted))
    await db.execute(sql.raw(statement));

  const first = buildFirst(store, db);
  closing.push(() => first.shutdown());
  first.on("committed", () => first.settle());
  const progress = progressOf({ app: first, store });
  closing.push(() => progress.dispose());
  for (let n = 0; n < ACCOUNTS; n++)
    await first.do("deposit", { stream: `account-${n}`, actor }, { amount: n + 1 });
  const last = await first.do("deposit", { stream: "account-0", actor }, { amount: 100 });
  const [mine] = await db.select().from(statements).where(eq(statements.account, "account-0"));
  console.log(`the commit has left ${mine?.total} in the statement of account-0`);
  await progress.caughtUp(["balances"], last);
  const total = async () => (await db.select({ is: sum(balances.balance), of: count() }).from(balances))[0];
  const before = await total();
  console.log(`${before?.of} accounts hold ${before?.is}`);

  // As after the loss of every acknowledgement.
  await first.reset(["balances"]);
  first.settle();
  await progress.caughtUp(["balances"], last);
  console.log(`after every event was delivered again they hold ${(await total())?.is}`);

  const second = buildSecond(store, db);
  closing.push(() => second.shutdown());
  const { targets, subscribed } = await backfill({ app: second, store });
  second.settle();
  const waiting = progressOf({ app: second, store });
  closing.push(() => waiting.dispose());
  const names = Array.from({ length: ACCOUNTS }, (_, n) => `biggest:account-${n}`);
  await waiting.caughtUp(names, last);
  const [row] = await db.select({ accounts: count(), most: max(biggest.amount) }).from(biggest);
  console.log(
    `${subscribed} of ${targets} targets are new: ${row?.accounts} accounts, the biggest deposit is ${row?.most}`,
  );

  // Somebody has spoilt the balances. They are filled anew beside the old ones, and swapped.
  await db.update(balances).set({ balance: 0 });
  const { events } = await rebuild({
    db,
    store,
    projection: "balances",
    positions,
    events: { Deposited },
    tables: { balances },
    apply: async (deposits, tx, shadow) => {
      for (const { stream, data } of deposits)
        await tx
          .insert(shadow.balances)
          .values({ account: stream, balance: data.amount, deposits: 1 })
          .onConflictDoUpdate({
            target: shadow.balances.account,
            set: {
              balance: sql`${shadow.balances.balance} + excluded.balance`,
              deposits: sql`${shadow.balances.deposits} + 1`,
            },
          });
    },
  });
  console.log(`rebuilt from ${events} events, they hold ${(await total())?.is}`);
} finally {
  for (const close of closing.reverse()) await close();
}
