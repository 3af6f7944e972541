export type { Backend, Connection } from "./connection.ts";
export { Database } from "./database.ts";
export type { Answer, Query, Row } from "./exchange.ts";
export type { Listener } from "./listener.ts";
export type { Param } from "./protocol.ts";
export { RETRIABLE } from "./retry.ts";
export type { Run } from "./session.ts";
export { TransactionFailure } from "./transaction.ts";
