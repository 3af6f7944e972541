/** A PostgresStore for the suite: each test gets tables of its own in the database of its file. */
import type postgres from "postgres";
import { beforeAll } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { connect, createDatabase, type TestDatabase } from "../../support/database.ts";
import type { Conformance } from "./conformance.ts";
import type { Capability, Harness, Stored, StoreOptions } from "./section.ts";

/** Stores of one test, and what is left of them to end. */
export type Stores = {
  /** A store with exactly these options. The suite also passes what the type forbids, to see it refused. */
  construct(options: StoreOptions): PostgresStore;
  end(): Promise<void>;
};

/** Finds a table that is not where the database of the file is. */
export type Locate = (sql: postgres.Sql, schema: string, table: string) => Promise<Stored>;

/** `open`: makes the database of the file, or the schema. */
export function postgresHarness(
  stores: () => Stores,
  open: () => Promise<TestDatabase> = createDatabase,
  locate?: Locate,
): Pick<Conformance, "create" | "capabilities" | "firstId"> {
  let database: TestDatabase;
  let sql: ReturnType<typeof connect>;
  let serial = 0;
  /** Tables that a test has left as it found them. Emptying them is quicker than making new ones. */
  const reusable: string[] = [];

  beforeAll(async () => {
    database = await open();
    sql = connect(database.url, { max: 4 });
    return async () => {
      await sql.end();
      await database.drop();
    };
  });

  async function empty(table: string): Promise<void> {
    const { schema } = database;
    await sql.unsafe(`
    delete from "${schema}"."${table}";
    delete from "${schema}"."${table}_streams";
    delete from "${schema}"."${table}_correlated";
    select setval('"${schema}"."${table}_id_seq"', 1, false)`);
  }

  async function create(options?: StoreOptions, needs: readonly Capability[] = []): Promise<Harness> {
    const untouched = options === undefined && !needs.includes("sql");
    const used = untouched ? reusable.pop() : undefined;
    if (used === undefined) serial += 1;
    const own = { url: database.url, schema: database.schema, table: used ?? `t${serial}`, ...options };
    const made = stores();
    const clients: Array<() => Promise<void>> = [];
    const construct = (given: StoreOptions = {}) => made.construct(given);
    const second = async (given: StoreOptions = {}) =>
      construct({ application_name: own.table, ...own, ...given });

    const store = await second();
    if (used === undefined) await store.seed();
    return {
      store,
      second,
      raw: {
        sql,
        connect: (url = database.url) => {
          const client = connect(url);
          clients.push(() => client.end({ timeout: 1 }));
          return client;
        },
        url: database.url,
        schema: own.schema,
        table: own.table,
        ...(locate && { stored: (table) => locate(sql, own.schema, table) }),
        construct,
      },
      dispose: async () => {
        await Promise.all([made.end(), ...clients.map((close) => close())]);
        if (!untouched) return;
        await empty(own.table);
        reusable.push(own.table);
      },
    };
  }

  return {
    create,
    capabilities: {
      shared: true,
      notify: true,
      restore: true,
      pii: true,
      encryption: true,
      exact_dates: true,
      sql: true,
    },
    firstId: 1,
  };
}
