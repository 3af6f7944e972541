export type { Health, HealthOptions } from "./admin/health.ts";
export type { Correlator } from "./correlators.ts";
export { type DatabaseConfig, PostgresDatabase, type PostgresDatabaseOptions } from "./database.ts";
export {
  ConnectionError,
  type ConnectionErrorCode,
  DatabaseError,
  type DatabaseErrorCode,
  InlineProjectionError,
  type InlineProjectionErrorCode,
  type KnownSqlState,
  type SqlState,
} from "./errors.ts";
export type { RestoreDriver } from "./events/restore.ts";
export type { TruncateTarget } from "./events/truncate.ts";
export type { StoreConfig as Config } from "./options/config.ts";
export type { NewConnection, OnConnect, Password, SslMode, TargetSessionAttrs } from "./options/modes.ts";
export type { PostgresStoreOptions } from "./options/options.generated.ts";
export type { PiiEncryption } from "./options/pii.ts";
export type { SharedDatabase } from "./options/shared-database.ts";
export type { ActTables, ActTablesOptions } from "./schema/tables.ts";
export { type SeedAllOptions, type Seeded, seedAll } from "./seed-all.ts";
export { PostgresStore } from "./store.ts";
