/**
 * The databases that the console looks at. It reads on connections of its own, whose transactions are read-only, except
 * behind a pooler in transaction mode. Each action opens a connection that may write, and closes it.
 */
import { Admin } from "../admin/index.ts";
import { PostgresStore, type PostgresStoreOptions } from "../index.ts";
import type { StoreInfo } from "./api.ts";
import { ConsoleError } from "./failures.ts";

/** Two for reading; the third is for commits, which a console never makes, so it is never opened. */
const CONNECTIONS = 3;
const APPLICATION = "act-drizzle console";
/** ms after which stores are discovered again. */
const DISCOVERY = 30_000;

export type Tenants = readonly { readonly schema: string; readonly table: string }[];

export type DatabasesOptions = {
  /** The first one's `schema` and `table` are the store that the page opens with. */
  readonly databases: readonly PostgresStoreOptions[];
  /** Of the first database only its own store and these. Left out: all that are found. */
  readonly tenants?: Tenants | undefined;
};

type Connected = {
  readonly options: PostgresStoreOptions;
  readonly store: PostgresStore;
  readonly admin: Admin;
  found: { readonly stores: readonly StoreInfo[]; readonly at: number } | undefined;
};

export type Opened = {
  readonly info: StoreInfo;
  readonly admin: Admin;
  /** Runs `work` on a store that may write, on a connection of its own. */
  writing<T>(work: (store: PostgresStore) => Promise<T>): Promise<T>;
};

/**
 * The options of a store that the console reads with. Its transactions are read-only, whatever the role may do, except
 * behind a pooler in transaction mode.
 */
function readOnly(options: PostgresStoreOptions): PostgresStoreOptions {
  const own = { ...options, max: CONNECTIONS, application_name: APPLICATION, notify: false };
  const { config } = new PostgresStore(own);
  // A pooler in transaction mode may refuse this setting at connect. It is a second guard: the statements only read anyway.
  if (!config.prepare) return own;
  return { ...own, options: `${config.options} -c default_transaction_read_only=on`.trim() };
}

export class Databases {
  readonly #connected: readonly Connected[];
  readonly #tenants: Tenants | undefined;

  constructor({ databases, tenants }: DatabasesOptions) {
    this.#tenants = tenants;
    this.#connected = databases.map((options) => {
      const store = new PostgresStore(readOnly(options));
      return { options, store, admin: new Admin(store), found: undefined };
    });
  }

  get default(): StoreInfo {
    const [first] = this.#connected;
    if (!first) throw new Error("the console needs a database");
    const { schema, table } = first.store.config;
    return this.#info(first, { schema, table });
  }

  #info(connected: Connected, { schema, table }: { schema: string; table: string }): StoreInfo {
    const { database, host, port } = connected.store.config;
    const index = this.#connected.indexOf(connected);
    const several = this.#connected.length > 1;
    const same = this.#connected.filter(({ store }) => store.config.database === database).length > 1;
    const where = `${database}${same ? `@${host}:${port}` : ""}/`;
    return {
      id: `${index === 0 ? "" : `${index}/`}${schema}.${table}`,
      label: `${several ? where : ""}${schema}.${table}`,
      database,
      schema,
      table,
    };
  }

  /** The stores of all databases. For a database that does not answer, the stores that were found before. */
  async list(): Promise<StoreInfo[]> {
    const found = await Promise.all(this.#connected.map((connected) => this.#storesOf(connected)));
    return found.flat();
  }

  async #storesOf(connected: Connected): Promise<readonly StoreInfo[]> {
    const first = connected === this.#connected[0];
    const own = first ? [this.default] : [];
    if (first && this.#tenants)
      return unique([...own, ...this.#tenants.map((name) => this.#info(connected, name))]);
    if (connected.found && performance.now() - connected.found.at < DISCOVERY) return connected.found.stores;
    try {
      const stores = await connected.admin.stores();
      const infos = stores.filter(isUsable).map((name) => this.#info(connected, name));
      connected.found = { stores: unique([...own, ...infos]), at: performance.now() };
      return connected.found.stores;
    } catch {
      return connected.found?.stores ?? own;
    }
  }

  /** @throws ConsoleError `not-found`. */
  async open(id: string | undefined): Promise<Opened> {
    const found = id === undefined ? this.default : await this.#find(id);
    const [, index = "0"] = /^(\d+)\//.exec(found.id) ?? [];
    const connected = this.#connected[Number(index)];
    if (!connected) throw new Error("no such database");
    const { schema, table } = found;
    return {
      info: found,
      admin: connected.admin.on({ schema, table }),
      async writing(work) {
        const store = new PostgresStore({
          ...connected.options,
          ...{ schema, table, max: 1, notify: true, application_name: APPLICATION },
        });
        try {
          return await work(store);
        } finally {
          await store.dispose();
        }
      },
    };
  }

  async #find(id: string): Promise<StoreInfo> {
    if (id === this.default.id) return this.default;
    const found = (await this.list()).find((info) => info.id === id);
    if (!found) throw new ConsoleError("not-found", `There is no store ${JSON.stringify(id)}.`);
    return found;
  }

  async close(): Promise<void> {
    await Promise.all(this.#connected.map(({ store }) => store.dispose()));
  }
}

/** Names that the store's options take. */
const isUsable = ({ schema, table }: { schema: string; table: string }) =>
  [schema, table].every((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) &&
  Buffer.byteLength(`act_commit_${schema}_${table}`) <= 63;

const unique = (infos: readonly StoreInfo[]): StoreInfo[] => [
  ...new Map(infos.map((info) => [info.id, info])).values(),
];
