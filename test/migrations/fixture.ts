/** A database for a file of tests, with stores that end with their test and what they log. */
import { log } from "@rotorsoft/act";
import type postgres from "postgres";
import { afterAll, beforeAll, onTestFinished, vi } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import type { TableName } from "../order/lock.ts";
import { connect, OpenDatabase } from "../support/database.ts";

export const meta = { correlation: "migration", causation: {} };

export class MigrationFixture extends OpenDatabase {
  #tables = 0;

  constructor() {
    super();
    beforeAll(() => this.openDatabase({ max: 4 }));
    afterAll(() => this.close());
  }

  /** The name of a table that no other test uses, and that no other such name begins with. */
  name(): TableName {
    const { url, schema } = this.database;
    return { url, schema, table: `mig${this.#tables++}t` };
  }

  /** One connection, for a transaction that stays open. */
  connect(): postgres.Sql {
    const sql = connect(this.database.url);
    onTestFinished(() => sql.end({ timeout: 1 }));
    return sql;
  }

  store(name: TableName, options: PostgresStoreOptions = {}): PostgresStore {
    const store = new PostgresStore({ ...name, max: 4, ...options });
    onTestFinished(() => store.dispose());
    return store;
  }

  async seeded(name: TableName, options: PostgresStoreOptions = {}): Promise<PostgresStore> {
    const store = this.store(name, options);
    await store.seed();
    return store;
  }
}

/** The names of a store's tables, quoted and qualified. */
export function tablesOf({ schema, table }: Pick<TableName, "schema" | "table">) {
  const of = (suffix: string) => `"${schema}"."${table}${suffix}"`;
  return { events: of(""), streams: of("_streams"), correlated: of("_correlated") };
}

/** What is logged from now on, one line per call. */
export function recordLog(level: "info" | "warn" | "error"): string[] {
  const lines: string[] = [];
  const spy = vi.spyOn(log(), level).mockImplementation((...args: unknown[]) => {
    lines.push(args.map(String).join(" "));
  });
  onTestFinished(() => spy.mockRestore());
  return lines;
}

/** A rejected verb's StoreError, with the message of what caused it. */
export async function causeOf(rejected: Promise<unknown>): Promise<string> {
  try {
    await rejected;
  } catch (error) {
    if (error instanceof Error && error.name === "ERR_STORE" && error.cause instanceof Error)
      return error.cause.message;
    throw error;
  }
  throw new Error("It did not fail");
}
