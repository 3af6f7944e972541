/** The store's errors: those of connections, those of the server, and the StoreError around both. */
export {
  ConnectionError,
  type ConnectionErrorCode,
  connectFailed,
  outcomeUnknown,
  storeClosed,
} from "./errors/connection-error.ts";
export {
  DatabaseError,
  type DatabaseErrorCode,
  type KnownSqlState,
  type SqlState,
} from "./errors/database-error.ts";
export { InlineProjectionError, type InlineProjectionErrorCode } from "./errors/inline-error.ts";
export {
  codeOf,
  guard,
  isRaised,
  isTooComplex,
  type Raised,
  raise,
  raisedError,
  reasonOf,
  sanitize,
  serverCodeOf,
  storeError,
  toStoreError,
} from "./errors/store-error.ts";
