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
