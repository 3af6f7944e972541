export type { Config, PostgresStoreOptions, SslMode } from "./config.ts";
export { ConnectionError, DatabaseError } from "./errors.ts";
export { type ActTables, type ActTablesOptions, actTables } from "./schema.ts";
export { PostgresStore } from "./store.ts";
