/**
 * Read models on every driver that Drizzle has here, each in a database of its own: the log is in another one. The
 * counters are additive, so that an event that is applied twice, or not at all, shows in the sum.
 */
import { PGlite } from "@electric-sql/pglite";
import { generateDrizzleJson, generateMigration } from "drizzle-kit/api";
import { sql } from "drizzle-orm";
import { drizzle as drizzlePg } from "drizzle-orm/node-postgres";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { drizzle as drizzleLite } from "drizzle-orm/pglite";
import { drizzle as drizzleJs } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { afterAll, onTestFinished } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { actPositions } from "../../src/projections/index.ts";
import { type AppFixture, settled } from "../framework/fixture.ts";
import { connect, createDatabase } from "../support/database.ts";
import { nodePool } from "../support/node-pool.ts";

export const counters = pgTable("counters", {
  stream: text("stream").primaryKey(),
  total: integer("total").notNull(),
  events: integer("events").notNull(),
});
export const positions = actPositions();
export const schema = { counters, positions };

/** What drizzle-kit would push. */
export const tables = async (given: Record<string, unknown> = schema): Promise<string[]> =>
  generateMigration(generateDrizzleJson({}), generateDrizzleJson(given));

async function server(given?: Record<string, unknown>) {
  const { url, drop } = await createDatabase();
  const admin = connect(url);
  for (const statement of await tables(given)) await admin.unsafe(statement);
  await admin.end();
  onTestFinished(drop);
  return url;
}

/** postgres.js */
export async function onPostgresJs(given?: Record<string, unknown>) {
  const client = postgres(await server(given), { max: 5, onnotice: () => {} });
  onTestFinished(() => client.end());
  return drizzleJs(client, { schema });
}

/** node-postgres */
export async function onNodePostgres(given?: Record<string, unknown>) {
  const pool = nodePool({ connectionString: await server(given), max: 5 });
  onTestFinished(() => pool.end());
  return drizzlePg(pool, { schema });
}

/** One for all tests of a file: it takes seconds to start. */
let lite: PGlite | undefined;
afterAll(() => lite?.close());

/** PostgreSQL in this process */
export async function onPglite(given?: Record<string, unknown>) {
  lite ??= new PGlite();
  await lite.exec("drop schema public cascade; create schema public");
  for (const statement of await tables(given)) await lite.exec(statement);
  return drizzleLite(lite, { schema });
}

/** They run the same statements; this is the type of one of them, so that a test is written once. */
export type Db = Awaited<ReturnType<typeof onNodePostgres>>;
export type Tx = Parameters<Parameters<Db["transaction"]>[0]>[0];

export const DRIVERS = {
  "postgres.js": onPostgresJs,
  "node-postgres": onNodePostgres,
  PGlite: onPglite,
} as unknown as Readonly<Record<string, (given?: Record<string, unknown>) => Promise<Db>>>;

type Amount = { readonly stream: string; readonly data: { readonly amount: number } };

/** Adds an event to its stream's counter. `table`: a shadow of the counters, in a rebuild. */
export async function count(
  tx: Pick<Tx, "insert">,
  { stream, data }: Amount,
  table: typeof counters = counters,
): Promise<void> {
  await tx
    .insert(table)
    .values({ stream, total: data.amount, events: 1 })
    .onConflictDoUpdate({
      target: table.stream,
      set: { total: sql`${table.total} + excluded.total`, events: sql`${table.events} + 1` },
    });
}

export const counted = (db: Db) => db.select().from(counters).orderBy(sql`${counters.stream} collate "C"`);

export const positionsOf = (db: Db) =>
  db
    .select({
      projection: positions.projection,
      target: positions.target,
      at: positions.at,
      handlers: positions.handlers,
    })
    .from(positions)
    .orderBy(positions.projection, positions.target);

/** What the log says the counters must be. */
export async function folded(fixture: AppFixture, store: PostgresStore) {
  const rows = await fixture.sql<{ stream: string; total: number; events: number }[]>`
    select stream, sum((data ->> 'amount')::int)::int as total, count(*)::int as events
    from ${fixture.table(store)} where name = 'Deposited' group by stream order by stream collate "C"`;
  return [...rows];
}

/**
 * Drains until no subscription is behind its mark.
 *
 * @throws if one is blocked: it would stay behind for ever.
 */
export async function drained(
  app: Parameters<typeof settled>[0],
  fixture: AppFixture,
  store: PostgresStore,
  leaseMillis?: number,
) {
  do {
    await settled(app, { leaseMillis });
    const blocked = (await fixture.subscriptions(store)).filter((row) => row.blocked);
    if (blocked.length > 0) throw new Error(`Blocked: ${JSON.stringify(blocked)}`);
  } while ((await fixture.unfinished(store)).length > 0);
}
