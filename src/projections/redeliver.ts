/**
 * redeliver(): rebuilds a projection in place by its own handlers: its tables and positions are cleared, and its targets
 * are sent back to the beginning of the log.
 *
 * The tables may be in another database than the subscriptions, so these are two steps. In between the projection is
 * marked, and its handlers write nothing: a worker that goes on at the old watermark would skip what lies before it.
 */
import type { PgTable } from "drizzle-orm/pg-core";
import type { PostgresStore } from "../store.ts";
import { clearTables } from "./clear-tables.ts";
import { badInput } from "./errors.ts";
import type { TransactionOf } from "./exactly-once.ts";
import { floorOf, lockPositions, makeFloor, raiseFloor } from "./floor.ts";
import { type ActPositions, actPositions } from "./positions.ts";
import { checkProjection } from "./rebuild-input.ts";
import { type Database, Transactions } from "./transactions.ts";

export type RedeliverOptions<Db extends Database> = {
  readonly db: Db;
  readonly store: PostgresStore;
  readonly projection: string;
  readonly positions?: ActPositions | undefined;
  /** The tables that the projection writes, and no other projection. */
  readonly tables: Readonly<Record<string, PgTable>>;
  /** Its targets in the log, as `app.reset` and `store.reset` take them: names, or a filter. */
  readonly targets: Parameters<PostgresStore["reset"]>[0];
};

/**
 * Returns how many subscriptions were sent back. Workers then process the whole log again, oldest first; call
 * `app.settle()` if none runs. Run it again if it failed or was killed: until then handlers write nothing.
 *
 * @throws ProjectionError if an argument is of no use, before anything is written; StoreError if the log fails.
 * @example
 * ```ts
 * await redeliver({ db, store, projection: "balances", tables: { balances }, targets: ["balances"] });
 * ```
 */
export async function redeliver<Db extends Database>(options: RedeliverOptions<Db>): Promise<number> {
  checkProjection("redeliver", options);
  const { db, store, projection, positions = actPositions(), tables, targets } = options;
  if (typeof targets !== "object" || targets === null)
    throw badInput("redeliver: targets must be the projection's targets: a list of names, or a filter.");
  const transactions = new Transactions<TransactionOf<Db>>(db, positions, projection);
  const doing = `projection ${JSON.stringify(projection)} could not be cleared`;
  await transactions.run(doing, async (tx) => {
    await transactions.query(tx, lockPositions(positions));
    await transactions.query(tx, makeFloor(positions, projection));
    const [floor] = await transactions.query(tx, floorOf(positions, projection));
    // Cleared already, by a call that did not end.
    if (floor?.handlers && Number(floor.at) < 0) return;
    await clearTables(transactions, tx, Object.values(tables));
  });
  const reset = await store.reset(targets);
  await transactions.run(doing, async (tx) => {
    await transactions.query(tx, raiseFloor(positions, projection, -1));
  });
  return reset;
}
