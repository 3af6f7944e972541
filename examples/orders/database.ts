/** The app's own access to the database, and what has to be there before it starts. */
import { fileURLToPath } from "node:url";
import { PostgresStore, type PostgresStoreOptions } from "act-drizzle";
import { sql } from "drizzle-orm";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";
import * as schema from "./schema.ts";

export type Database = PostgresJsDatabase<typeof schema> & { end(): Promise<void> };

const MIGRATIONS = fileURLToPath(new URL("./migrations", import.meta.url));

/** Drizzle on a client of its own: it changes the parsers of the client it is given. */
export function openDatabase(url: string, max = 4): Database {
  const client = postgres(url, { max, onnotice: () => {}, connection: { application_name: "orders" } });
  return Object.assign(drizzle(client, { schema }), { end: () => client.end({ timeout: 2 }) });
}

/** `notify` on both sides: the server announces its commits, the workers hear of them. */
export const createStore = (url: string, options: PostgresStoreOptions = {}) =>
  new PostgresStore({ url, schema: schema.SCHEMA, notify: true, ...options });

/**
 * The step before a deployment, once: the app's migrations, then the store's. Drizzle's migrate() takes no
 * lock, so two at the same time would run the same migration; seed() may run in any number of processes.
 */
export async function prepareDatabase(url: string): Promise<void> {
  const db = openDatabase(url, 1);
  const store = createStore(url);
  try {
    await db.execute(sql`select pg_advisory_lock(hashtext(${schema.SCHEMA}))`);
    await migrate(db, { migrationsFolder: MIGRATIONS, migrationsSchema: schema.SCHEMA });
    await store.seed();
  } finally {
    await store.dispose();
    await db.end();
  }
}
