/** Stores that share connections, from options as a store of its own takes them. */
import { PostgresDatabase, PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { isStoreOption } from "../../src/options/shared-database.ts";

/** The options that are a store's own, and those of its connections. */
export function divide(options: Readonly<Record<string, unknown>>) {
  const entries = Object.entries(options);
  return {
    own: Object.fromEntries(entries.filter(([name]) => isStoreOption(name))),
    connection: Object.fromEntries(entries.filter(([name]) => !isStoreOption(name))),
  };
}

/** One database for all stores with the same options of connections. */
export class SharedStores {
  readonly #databases = new Map<string, PostgresDatabase>();

  construct(options: Readonly<Record<string, unknown>>): PostgresStore {
    const { own, connection } = divide(options);
    const key = JSON.stringify(connection, (_, value) =>
      typeof value === "function" ? String(this.#databases.size) : value,
    );
    const database = this.#databases.get(key) ?? new PostgresDatabase(connection);
    this.#databases.set(key, database);
    const store = new PostgresStore({ ...(own as PostgresStoreOptions), database });
    const { dispose } = store;
    // The owner of the database, which this is, ends it with its last store: tests look at the server's connections then.
    store.dispose = async () => {
      await dispose();
      if (database.stores > 0) return;
      if (this.#databases.get(key) === database) this.#databases.delete(key);
      await database.dispose();
    };
    return store;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#databases.values()].map((database) => database.dispose()));
  }
}
