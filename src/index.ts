export type { Config, PostgresStoreOptions, SslMode } from "./config.ts";
export { ConnectionError, DatabaseError } from "./errors.ts";
export type { ActTables, ActTablesOptions } from "./schema.ts";
export { PostgresStore } from "./store.ts";
