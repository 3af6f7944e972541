/** PostgresStore against the contract. */
import { beforeAll } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { defineConformance } from "./kit/conformance.ts";
import type { Capability, Harness, StoreOptions } from "./kit/section.ts";

let database: TestDatabase;
let sql: ReturnType<typeof connect>;
let serial = 0;
/** Tables that a test has left as it found them. Emptying them is quicker than making new ones. */
const reusable: string[] = [];

beforeAll(async () => {
  database = await createDatabase();
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
    alter sequence "${schema}"."${table}_id_seq" restart`);
}

/** A store with tables of its own in the database of this file. */
async function create(options?: StoreOptions, needs: readonly Capability[] = []): Promise<Harness> {
  const untouched = options === undefined && !needs.includes("sql");
  const used = untouched ? reusable.pop() : undefined;
  if (used === undefined) serial += 1;
  const own = { url: database.url, schema: database.schema, table: used ?? `t${serial}`, ...options };
  const opened: Array<() => Promise<void>> = [];
  // The suite also passes what the type forbids, to see it refused.
  const construct = (given: StoreOptions = {}) => {
    const store = new PostgresStore(given as PostgresStoreOptions);
    opened.push(() => store.dispose());
    return store;
  };
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
        opened.push(() => client.end({ timeout: 1 }));
        return client;
      },
      url: database.url,
      schema: own.schema,
      table: own.table,
      construct,
    },
    dispose: async () => {
      await Promise.all(opened.map((close) => close()));
      if (!untouched) return;
      await empty(own.table);
      reusable.push(own.table);
    },
  };
}

defineConformance("PostgresStore", {
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
});
