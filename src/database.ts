/** PostgresDatabase: connections that several stores share, such as the stores of tenants. */
import { inspect } from "node:util";
import { type StoreConfig, withHiddenPassword } from "./options/config.ts";
import type { PostgresStoreOptions } from "./options/options.generated.ts";
import { RESOLVED, resolveDatabase } from "./options/resolve.ts";
import { DATABASE, type SharedDatabase, type STORE_OPTIONS } from "./options/shared-database.ts";
import { resolveSharing, type Sharing } from "./options/sharing.ts";
import { POOLS, SharedPools } from "./postgres/index.ts";

type StoreOption = (typeof STORE_OPTIONS)[number];

/** The options of a store that say how to connect, and how the connections are shared. */
export type PostgresDatabaseOptions = Omit<PostgresStoreOptions, StoreOption | "database"> & {
  /** Database to connect to. Default `postgres`. */
  readonly database?: string | undefined;
} & Sharing;

/** The type of `database.config`: options with every default applied. */
export type DatabaseConfig = Omit<StoreConfig, StoreOption | "encrypted"> & Required<Sharing>;

/**
 * Connections to one database that several stores share: at most `max`, of which `writers` are for commits, and one more
 * that listens for all stores with `notify`. Each store has its own group commit and its own append lock. Stores that wait
 * for a connection take turns, so that a busy one does not keep a quiet one waiting.
 *
 * Constructing it checks the options and opens no connection. Each store may be disposed of alone, and leaves the connections
 * to the others; `dispose()` ends all of them.
 *
 * @example
 * ```ts
 * const database = new PostgresDatabase({ url: process.env.DATABASE_URL, max: 20 });
 * const acme = new PostgresStore({ database, schema: "tenant_acme" });
 * const globex = new PostgresStore({ database, schema: "tenant_globex" });
 * await seedAll([acme, globex]);
 * ```
 */
export class PostgresDatabase implements SharedDatabase {
  /** The options with every default applied. The password does not print. */
  readonly config: DatabaseConfig;
  readonly [DATABASE] = true;
  readonly #pools: SharedPools;

  /**
   * @param options The options of a store that concern connections, and `writers`, `maxPrepared`, `maxStores`.
   * @throws Error that names the wrong options, first those of sharing, and shows no secret; TypeError for an option that
   *   belongs to a store.
   */
  constructor(options: PostgresDatabaseOptions = {}) {
    const { sharing, others } = resolveSharing(options);
    const resolved = resolveDatabase(others);
    const max = resolved.config.max;
    const { writers = Math.max(1, Math.floor(max / 2)), maxPrepared, maxStores } = sharing;
    if (writers >= max && max > 1)
      throw new Error(
        `act-drizzle: option "writers": it must be less than max (${max}), because the other connections are for reads and subscriptions`,
      );
    this.config = Object.assign(withHiddenPassword(resolved), { writers, maxPrepared, maxStores });
    this.#pools = new SharedPools(resolved, { writers, maxPrepared, maxStores });
    Object.defineProperties(this, { [POOLS]: { value: this.#pools }, [RESOLVED]: { value: resolved } });
  }

  /** How many stores use its connections now. */
  get stores(): number {
    return this.#pools.stores.size;
  }

  /** How many of the `max` connections are busy, how many are idle, and how many calls wait for one. */
  get connections(): { readonly busy: number; readonly idle: number; readonly waiting: number } {
    const pools = new Set([this.#pools.pool, this.#pools.writer]);
    const counts = [...pools].map((pool) => pool.counts);
    const sum = (name: "busy" | "idle" | "waiting") =>
      counts.reduce((total, { [name]: count }) => total + count, 0);
    return { busy: sum("busy"), idle: sum("idle"), waiting: sum("waiting") };
  }

  /**
   * Disposes of every store that is left, then closes the connections. Idempotent. A store that is made afterwards is
   * refused.
   *
   * @example process.once("SIGTERM", () => database.dispose());
   */
  dispose(): Promise<void> {
    return this.#pools.close();
  }

  /** What `JSON.stringify(database)` shows: the configuration, without secrets. */
  toJSON(): { config: DatabaseConfig } {
    return { config: this.config };
  }

  /** What `console.log(database)` shows: the configuration, without the password. */
  [inspect.custom](): string {
    return `PostgresDatabase ${inspect(this.config)}`;
  }
}
