/** All tenants of one process: each opened at its first use, with a schema, a store and an app of its own. */
import { fileURLToPath } from "node:url";
import { PostgresStore } from "act-drizzle";
import { sql } from "drizzle-orm";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";
import { buildApp, type Settings, type TenantApp } from "./app.ts";
import { schemaOf, type TenantTables, tablesOf } from "./tables.ts";

const MIGRATIONS = fileURLToPath(new URL("./migrations", import.meta.url));

export type Tenant = {
  readonly app: TenantApp;
  readonly tables: TenantTables;
  /** Ends its reactions and connections; the data stays. */
  close(): Promise<void>;
};

export class Tenants {
  readonly #url: string;
  readonly #client: postgres.Sql;
  readonly #open = new Map<string, Promise<Tenant>>();
  /** One client for the read models of all tenants: their tables name their schemas. */
  readonly db: PostgresJsDatabase;

  constructor(url: string) {
    this.#url = url;
    this.#client = postgres(url, { max: 4, onnotice: () => {}, connection: { application_name: "tenants" } });
    this.db = drizzle(this.#client);
  }

  /** The tenant, opened or still open. Throws for a name that cannot be one; settings count when it opens. */
  async get(name: string, settings: Settings = { welcome: 10 }): Promise<Tenant> {
    const tables = tablesOf(name);
    const open = this.#open.get(name) ?? this.#start(name, tables, settings);
    this.#open.set(name, open);
    return open.catch((error: unknown) => {
      // The next call tries again.
      if (this.#open.get(name) === open) this.#open.delete(name);
      throw error;
    });
  }

  /** Closes the tenant and deletes its schema, log and all. The other tenants notice nothing. */
  async remove(name: string): Promise<void> {
    const open = this.#open.get(name);
    this.#open.delete(name);
    await (await open)?.close();
    await this.db.execute(sql`drop schema if exists ${sql.identifier(schemaOf(name))} cascade`);
  }

  async close(): Promise<void> {
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(open.map(async (tenant) => (await tenant.catch(() => undefined))?.close()));
    await this.#client.end({ timeout: 2 });
  }

  async #start(name: string, tables: TenantTables, settings: Settings): Promise<Tenant> {
    const schema = schemaOf(name);
    await prepare(this.#url, schema);
    // Database are what tenants cost: 1,000 of them need a smaller `max`, or processes for some of them each.
    const store = new PostgresStore({ url: this.#url, schema, max: 4, idleTimeoutMillis: 5_000 });
    const app = buildApp(store, this.db, tables, settings);
    // What was committed before this process opened the tenant, and not reacted to.
    app.settle();
    const close = async () => {
      await app.shutdown();
      await store.dispose();
    };
    return { app, tables, close };
  }
}

/** The tenant's schema: the app's migrations by way of search_path, since they name no schema; then the store's. */
async function prepare(url: string, schema: string): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {}, connection: { search_path: schema } });
  const store = new PostgresStore({ url, schema, max: 1 });
  try {
    // Two processes may open the tenant at once, and Drizzle's migrate() takes no lock.
    await client`select pg_advisory_lock(hashtext(${schema}))`;
    await client`create schema if not exists ${client(schema)}`;
    await migrate(drizzle(client), { migrationsFolder: MIGRATIONS, migrationsSchema: schema });
    await store.seed();
  } finally {
    await store.dispose();
    await client.end({ timeout: 2 });
  }
}
