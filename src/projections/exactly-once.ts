/**
 * exactlyOnce(): runs a handler of Act in one transaction with the position of its target, so that an event that is
 * delivered again changes nothing.
 *
 * Act acknowledges an event after its handlers have run. If the worker dies in between, or its lease expires, the event is
 * delivered again. Here the row of the position is locked first, until COMMIT, so that a second holder of the target waits,
 * and then finds that the event is done.
 */
import { entityKind, is } from "drizzle-orm";
import { PgDatabase } from "drizzle-orm/pg-core";
import { isRecord } from "../values/json-dates.ts";
import { ANY, type Rules } from "../values/rules.ts";
import { badInput, checkInput, ProjectionError } from "./errors.ts";
import { Fence } from "./fence.ts";
import { handleBatch } from "./handle-batch.ts";
import { handleEvent } from "./handle-event.ts";
import { handleRows } from "./handle-rows.ts";
import { type ActPositions, actPositions } from "./positions.ts";
import { type Database, Transactions } from "./transactions.ts";

/** The transaction that a Drizzle database gives: `PgTransaction` of its driver and schema. */
export type TransactionOf<Db extends Database> = Parameters<Parameters<Db["transaction"]>[0]>[0];

/** The projection, and the database of its read models. */
export type ExactlyOnceOptions<Db extends Database> = {
  /** Your Drizzle database on PostgreSQL: postgres.js, node-postgres, Neon (WebSocket), PGlite. */
  readonly db: Db;
  /** Name of the projection, under which its positions are kept: give each read model its own name, and never change it. */
  readonly projection: string;
  /** The table of positions. Default `actPositions()`: `public.act_positions`. */
  readonly positions?: ActPositions | undefined;
};

const RULES: Rules<ExactlyOnceOptions<Database>> = { db: ANY, projection: ANY, positions: ANY };

type Numbered = { readonly id: number };
/** A row of `projection(…).of(State).flush(…)`: the state of one stream as of event `event_id`. */
type StateRow = { readonly stream: string; readonly event_id: number };

/**
 * Wraps the handlers of one projection. If a handler throws, its transaction is rolled back. A failed query is then thrown as
 * ProjectionError `HANDLER_FAILED`, any other error as it is.
 */
export type ExactlyOnce<Tx> = {
  /** Wraps a handler of `.do(…)`, of a projection or a reaction. A reaction's handler gets the app as its last argument. */
  do<Event extends Numbered, Rest extends unknown[]>(
    handler: (event: Event, tx: Tx, stream: string, ...rest: Rest) => PromiseLike<unknown>,
  ): (event: Event, stream: string, ...rest: Rest) => Promise<void>;
  /** Wraps a handler of `.batch(…)`. It gets the new events, in one transaction, and is not called if there are none. */
  batch<Event extends Numbered>(
    handler: (events: readonly Event[], tx: Tx, stream: string) => PromiseLike<unknown>,
  ): (events: readonly Event[], stream: string) => Promise<void>;
  /** Wraps a handler of `.flush(…)`. It gets the rows that are newer than those that were flushed before. */
  flush<Row extends StateRow>(
    handler: (rows: readonly Row[], tx: Tx) => PromiseLike<unknown>,
  ): (rows: readonly Row[]) => Promise<void>;
};

/** Drivers of Drizzle that talk to PostgreSQL without a session, and so cannot hold a transaction open. */
const WITHOUT_TRANSACTIONS: Readonly<Record<string, string>> = {
  NeonHttpSession: "drizzle-orm/neon-http: use drizzle-orm/neon-serverless",
  PgRemoteSession: "drizzle-orm/pg-proxy: use a driver with a connection, such as drizzle-orm/node-postgres",
  XataHttpSession: "drizzle-orm/xata-http: use a driver with a connection, such as drizzle-orm/node-postgres",
};

export function checkDatabase(verb: string, db: unknown): void {
  if (!is(db, PgDatabase))
    throw badInput(
      `${verb}: db must be a Drizzle database on PostgreSQL: give what drizzle() of drizzle-orm/postgres-js, node-postgres, neon-serverless or pglite returns.`,
    );
  const session: unknown = Reflect.get(db, "session");
  const kind: unknown =
    typeof session === "object" && session !== null ? Reflect.get(session.constructor, entityKind) : "";
  const instead = WITHOUT_TRANSACTIONS[String(kind)];
  if (instead)
    throw new ProjectionError("NO_TRANSACTIONS", `${verb}: there are no transactions in ${instead}.`);
}

function checkHandler(method: string, handler: unknown): void {
  if (typeof handler !== "function")
    throw badInput(
      `exactlyOnce: ${method}() must get a function, not ${handler === null ? "null" : typeof handler}: wrap the handler, as in .do(once.do(async (event, tx) => { … })).`,
    );
}

export const hasColumns = (table: unknown): table is ActPositions =>
  isRecord(table) &&
  ["projection", "target", "at", "handlers", "generation"].every((column) => column in table);

/**
 * Exactly-once handlers of one projection, over your own Drizzle database, which need not be the log's.
 *
 * Each handler runs in one transaction of that database, which also records the position of its target; all of it is
 * written, or none. The handler writes through `tx`. Its other effects, such as an e-mail, still happen at least once.
 * A transaction that the server ends for a deadlock or a serialization failure is run again, up to 3 times.
 *
 * Handlers of one event and one target in one projection are told apart by the name of their function; a function without
 * a name, such as an arrow function in the call, gets the projection's name.
 *
 * @throws ProjectionError if an argument is invalid. Nothing has been sent to the database then.
 * @example
 * ```ts
 * const once = exactlyOnce({ db, projection: "balances" });
 * const balances = projection("balances")
 *   .on({ Deposited })
 *   .do(once.do(async ({ stream, data }, tx) => {
 *     await tx.update(accounts).set({ balance: sql`balance + ${data.amount}` }).where(eq(accounts.id, stream));
 *   }))
 *   .build();
 * ```
 */
export function exactlyOnce<Db extends Database>(
  options: ExactlyOnceOptions<Db>,
): ExactlyOnce<TransactionOf<Db>> {
  if (!isRecord(options))
    throw badInput("exactlyOnce: give its options as an object: exactlyOnce({ db, projection }).");
  checkInput("exactlyOnce", options, RULES);
  const { db, projection, positions = actPositions() } = options;
  checkDatabase("exactlyOnce", db);
  if (typeof projection !== "string" || projection === "")
    throw badInput(
      "exactlyOnce: projection must be a name: its positions are kept under it, as in exactlyOnce({ db, projection: 'balances' }).",
    );
  if (!hasColumns(positions))
    throw badInput("exactlyOnce: positions must be a table that actPositions() made.");
  const transactions = new Transactions<TransactionOf<Db>>(db, positions, projection);
  const fence = new Fence(projection);
  return {
    do: (handler) => {
      checkHandler("do", handler);
      return handleEvent(transactions, fence, handler);
    },
    batch: (handler) => {
      checkHandler("batch", handler);
      return handleBatch(transactions, fence, handler);
    },
    flush: (handler) => {
      checkHandler("flush", handler);
      return handleRows(transactions, fence, handler);
    },
  };
}
