export type { Backend, Connection } from "./connection.ts";
export { Connections } from "./connections.ts";
export type { Listener } from "./listener.ts";
export type { Param } from "./protocol.ts";
export { type Answer, type Query, type Row, TransactionFailure } from "./transaction.ts";
