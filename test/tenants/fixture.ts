/** Stores of several tenants on one PostgresDatabase, in the database of a test file. */
import { onTestFinished } from "vitest";
import {
  PostgresDatabase,
  type PostgresDatabaseOptions,
  PostgresStore,
  type PostgresStoreOptions,
  seedAll,
} from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import type { DatabaseFixture } from "../postgres/fixture.ts";

export type OwnOptions = Pick<PostgresStoreOptions, "inline" | "notify" | "pollIntervalMillis" | "table">;

let serial = 0;

export class Tenants {
  readonly #fixture: DatabaseFixture;

  constructor(fixture: DatabaseFixture) {
    this.#fixture = fixture;
  }

  /** Connections under a name of their own, until the test ends. */
  database(options: PostgresDatabaseOptions = {}): PostgresDatabase {
    const { schema: _schema, ...parts } = this.#fixture.parts;
    const application_name = this.#fixture.application(`shared${serial++}`);
    const database = new PostgresDatabase({ ...parts, application_name, ...options });
    onTestFinished(() => database.dispose());
    return database;
  }

  /** So many seeded stores, each with a schema of its own. */
  async stores(database: PostgresDatabase, count: number, own: OwnOptions = {}): Promise<PostgresStore[]> {
    const stores = Array.from(
      { length: count },
      () => new PostgresStore({ database, schema: `tenant_${serial++}`, ...own }),
    );
    await seedAll(stores);
    return stores;
  }

  /** One store, which is sure to be there. */
  async store(database: PostgresDatabase, own: OwnOptions = {}): Promise<PostgresStore> {
    const [store] = await this.stores(database, 1, own);
    if (!store) throw new Error("there is one");
    return store;
  }

  /** The last statement of each of its connections. */
  async connections({ config }: PostgresDatabase): Promise<{ pid: number; query: string; state: string }[]> {
    return this.#fixture.sql`
      select pid, query, coalesce(state, '') as state from pg_stat_activity
      where application_name = ${config.application_name}`;
  }

  async listening(database: PostgresDatabase): Promise<number[]> {
    const found = await this.connections(database);
    return found.filter(({ query }) => /^(un)?listen /i.test(query)).map(({ pid }) => pid);
  }

  async kill({ config }: PostgresDatabase): Promise<number> {
    const killed = await this.#fixture.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${config.application_name}`;
    return killed.length;
  }

  /** Resolves once it has no connection left. */
  async gone(database: PostgresDatabase): Promise<void> {
    await eventually(async () => (await this.connections(database)).length === 0);
  }
}

/** The code of the cause with which a call fails. */
export async function failureCode(call: unknown): Promise<unknown> {
  const error: unknown = await Promise.resolve(call).then(
    () => new Error("it succeeded"),
    (reason: unknown) => reason,
  );
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? cause.code : error;
}
