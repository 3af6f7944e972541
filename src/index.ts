export { ConnectionError, DatabaseError } from "./errors.ts";
export type { StoreConfig as Config } from "./options/config.ts";
export type { SslMode, TargetSessionAttrs } from "./options/modes.ts";
export type { PostgresStoreOptions } from "./options/options.generated.ts";
export type { ActTables, ActTablesOptions } from "./schema/tables.ts";
export { PostgresStore } from "./store.ts";
