/** The demo's own Drizzle tables: two read models, and what is needed to keep and check them. */

import { actPositions } from "act-drizzle/projections";
import { actTables } from "act-drizzle/schema";
import { sql } from "drizzle-orm";
import { bigint, boolean, pgSchema, text } from "drizzle-orm/pg-core";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";

/** Everything of the demo lives in this schema: the store's tables and these. */
export const SCHEMA = "act_demo";
const schema = pgSchema(SCHEMA);

/** The store's tables, as Drizzle tables: for queries, joins and drizzle-kit. */
export const { events, streams, correlated } = actTables({ schema: SCHEMA });

const count = (name: string) => bigint(name, { mode: "number" }).notNull();

/** Who changed how much. */
export const authorChurn = schema.table("author_churn", {
  email: text("email").primaryKey(),
  name: text("name").notNull(),
  commits: count("commits"),
  changes: count("changes"),
  added: count("added"),
  removed: count("removed"),
});

/** How often each file was touched. */
export const hotFiles = schema.table("hot_files", {
  stream: text("stream").primaryKey(),
  path: text("path").notNull(),
  exists: boolean("exists").notNull(),
  commits: count("commits"),
  added: count("added"),
  removed: count("removed"),
});

/** How far each projection has come: moved in the transaction of what it wrote. */
export const positions = actPositions({ schema: SCHEMA });

/** Which repository was read, up to which commit. */
export const imports = schema.table("imports", { path: text("path").notNull(), tip: text("tip").notNull() });

export type Database = PostgresJsDatabase & { end(): Promise<void> };

/** Drizzle on a client of its own: it changes the parsers of the client it is given. */
export function openDatabase(url: string, max = 2): Database {
  const client = postgres(url, { max, onnotice: () => {}, connection: { application_name: "act-demo" } });
  return Object.assign(drizzle(client), { end: () => client.end({ timeout: 2 }) });
}

/** False while another demo works on this database. Held until the connection ends. */
export async function claimSchema(db: Database): Promise<boolean> {
  const [row] = await db.execute<{ free: boolean }>(
    sql`select pg_try_advisory_lock(hashtext(${SCHEMA})) as free`,
  );
  return row?.free ?? false;
}

/** Empties the read models. Nothing else in the database is touched. */
export async function recreateTables(db: Database): Promise<void> {
  await db.execute(sql`create schema if not exists ${sql.identifier(SCHEMA)}`);
  const tables = { authorChurn, hotFiles, positions, imports };
  for (const table of Object.values(tables)) await db.execute(sql`drop table if exists ${table}`);
  // What `drizzle-kit push` would do. Its package is loaded here, because it takes a moment.
  const { generateDrizzleJson, generateMigration } = await import("drizzle-kit/api");
  const statements = await generateMigration(generateDrizzleJson({}), generateDrizzleJson(tables));
  for (const statement of statements) await db.execute(sql.raw(statement));
}
