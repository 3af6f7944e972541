/**
 * All tenants of one process: each opened at its first use, with a schema, a store and an app of its own. Their stores share
 * the connections of one PostgresDatabase, so that a thousand tenants need no more of them than one.
 */
import { fileURLToPath } from "node:url";
import { PostgresDatabase, PostgresStore } from "act-drizzle";
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
  readonly #database: PostgresDatabase;
  /** The migration that was begun last: they run one after the other, each on a connection of its own. */
  #migrated: Promise<unknown> = Promise.resolve();
  readonly #open = new Map<string, Promise<Tenant>>();
  /** One client for the read models of all tenants: their tables name their schemas. */
  readonly db: PostgresJsDatabase;

  constructor(url: string) {
    this.#url = url;
    this.#client = postgres(url, { max: 4, onnotice: () => {}, connection: { application_name: "tenants" } });
    this.db = drizzle(this.#client);
    this.#database = new PostgresDatabase({ url, max: 10, application_name: "tenants_log" });
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
    await this.#database.dispose();
    await this.#client.end({ timeout: 2 });
  }

  async #start(name: string, tables: TenantTables, settings: Settings): Promise<Tenant> {
    const schema = schemaOf(name);
    const migrated = this.#migrated.then(() => prepare(this.#url, schema));
    this.#migrated = migrated.catch(() => {});
    await migrated;
    const store = new PostgresStore({ database: this.#database, schema });
    await store.seed();
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

/** The tenant's schema, and the app's migrations by way of search_path, since they name no schema. */
async function prepare(url: string, schema: string): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {}, connection: { search_path: schema } });
  try {
    // Two processes may open the tenant at once, and Drizzle's migrate() takes no lock.
    await client`select pg_advisory_lock(hashtext(${schema}))`;
    await client`create schema if not exists ${client(schema)}`;
    await migrate(drizzle(client), { migrationsFolder: MIGRATIONS, migrationsSchema: schema });
  } finally {
    await client.end({ timeout: 2 });
  }
}
