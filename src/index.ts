export {
  ConnectionError,
  type ConnectionErrorCode,
  DatabaseError,
  type DatabaseErrorCode,
  type KnownSqlState,
  type SqlState,
} from "./errors.ts";
export type { RestoreDriver } from "./events/restore.ts";
export type { TruncateTarget } from "./events/truncate.ts";
export type { Config, Endpoint, PostgresStoreOptions, SslMode } from "./options/options.ts";
export type { ActTables, ActTablesOptions } from "./schema/tables.ts";
export { PostgresStore } from "./store.ts";
export type { Correlator } from "./subscriptions/subscribe.ts";
