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
 * as managed services do), a new schema in the given database.
 */
export async function createDatabase(): Promise<TestDatabase> {
  const name = `act_test_${randomBytes(6).toString("hex")}`;
  const url = new URL(serverUrl());
  try {
    // template1 can't be copied while someone is connected to it.
    await run(`create database ${name} template template0 encoding 'UTF8'`);
    url.pathname = `/${name}`;
    return {
      url: url.href,
      name,
      schema: "public",
      drop: () => run(`drop database if exists ${name} with (force)`),
    };
  } catch (error) {
    if (!(error instanceof postgres.PostgresError) || error.code !== "42501") throw error;
    await run(`create schema ${name}`);
    url.searchParams.set("options", `-c search_path=${name}`);
    return { url: url.href, name, schema: name, drop: () => run(`drop schema if exists ${name} cascade`) };
  }
}

async function run(statement: string): Promise<void> {
  const sql = connect(serverUrl());
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
