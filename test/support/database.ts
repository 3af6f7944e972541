import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";

export type TestDatabase = {
  /** Connects to the new database, or to the new schema by way of `search_path`. */
  readonly url: string;
  readonly name: string;
  /** The schema that is the test's own: `public` of its database, else a new one. */
  readonly schema: string;
  drop(): Promise<void>;
};

/** A database, and connections to look at it from outside. Fixtures of test files extend it. */
export class OpenDatabase {
  #database: TestDatabase | undefined;
  #sql: postgres.Sql | undefined;

  /** Creates the database. `max`: how many connections {@link sql} has. */
  async openDatabase({ server, max = 1 }: { server?: string | undefined; max?: number } = {}): Promise<void> {
    this.#database = await createDatabase(server);
    this.#sql = connect(this.#database.url, { max });
  }

  async close(): Promise<void> {
    await this.#sql?.end();
    await this.#database?.drop();
  }

  get database(): TestDatabase {
    if (!this.#database) throw new Error("The database is created before the first test");
    return this.#database;
  }

  /** To look behind the stores' backs. */
  get sql(): postgres.Sql {
    if (!this.#sql) throw new Error("The database is created before the first test");
    return this.#sql;
  }

  /** Makes {@link sql} connect again: settings of the database are for new sessions. */
  async reconnect(): Promise<void> {
    await this.#sql?.end();
    this.#sql = connect(this.database.url);
  }
}

/** The server of this test run. */
export function serverUrl(): string {
  return inject("serverUrl");
}

/** One raw connection, to look behind the store's back. */
export function connect(url: string, options: postgres.Options<Record<string, never>> = {}): postgres.Sql {
  return postgres(url, { max: 1, onnotice: () => {}, ...options });
}

/**
 * A new, empty database for one test file. On a server that does not allow it (insufficient_privilege,
 * as managed services answer), a new schema in the given database: hand `schema` on to the store.
 */
export async function createDatabase(server: string = serverUrl()): Promise<TestDatabase> {
  const name = `act_test_${randomBytes(6).toString("hex")}`;
  const url = new URL(server);
  try {
    // template1 can't be copied while someone is connected to it.
    await run(server, `create database ${name} template template0 encoding 'UTF8'`);
    url.pathname = `/${name}`;
    const drop = () => run(server, `drop database if exists ${name} with (force)`);
    return { url: url.href, name, schema: "public", drop };
  } catch (error) {
    if (!(error instanceof postgres.PostgresError) || error.code !== "42501") throw error;
    await run(server, `create schema ${name}`);
    url.searchParams.set("options", `-c search_path=${name}`);
    const drop = () => run(server, `drop schema if exists ${name} cascade`);
    return { url: url.href, name, schema: name, drop };
  }
}

async function run(server: string, statement: string): Promise<void> {
  const sql = connect(server);
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
