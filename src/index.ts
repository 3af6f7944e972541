export { ConnectionError, DatabaseError } from "./errors.ts";
export type { Config, PostgresStoreOptions, SslMode } from "./options/options.ts";
export type { ActTables, ActTablesOptions } from "./schema/tables.ts";
export { PostgresStore } from "./store.ts";
