/**
 * redeliver(): rebuilds a projection in place by its own handlers: its tables and positions are cleared, and its targets
 * are sent back to the beginning of the log.
 *
 * The tables may be in another database than the subscriptions, so these are two steps. In between the projection is
 * marked, and its handlers write nothing: a worker that goes on at the old watermark would skip the events before it.
 */
import type { PgTable } from "drizzle-orm/pg-core";
import type { PostgresStore } from "../store.ts";
import { ANY, type Rules } from "../values/rules.ts";
import { clearAndHold } from "./clear-and-hold.ts";
import { badInput, checkInput, ProjectionError } from "./errors.ts";
import type { TransactionOf } from "./exactly-once.ts";
import { deliverAgain, floorOf, lockPositions, makeFloor } from "./floor.ts";
import { LIMIT_LOCKS, retryOnLockTimeout } from "./lock-timeout.ts";
import { type ActPositions, actPositions } from "./positions.ts";
import { checkProjection, DEFINITION_RULES } from "./rebuild-input.ts";
import { type Database, Transactions } from "./transactions.ts";

type Targets = Parameters<PostgresStore["reset"]>[0];
type Resetting = { reset(targets: Targets): Promise<number> };

/** The projection to clear, and its targets to reset. */
export type RedeliverOptions<Db extends Database> = {
  readonly db: Db;
  /** The app with the projection's handlers. Its `reset` also wakes its own worker; others find the work by themselves. */
  readonly app: Resetting;
  readonly projection: string;
  readonly positions?: ActPositions | undefined;
  /** The tables that this projection writes; no other projection may write them. */
  readonly tables: Readonly<Record<string, PgTable>>;
  /** Its targets in the log, as `app.reset` takes them: names, or a filter. */
  readonly targets: Targets;
};

/** The options of rebuildable() are allowed too, so that its result may be spread into these. */
const RULES: Rules<RedeliverOptions<Database>> = { ...DEFINITION_RULES, app: ANY, targets: ANY };

/**
 * Clears a projection's tables and positions, resets its targets, and returns how many subscriptions were reset. Workers
 * then process the whole log again, oldest first; call `app.settle()` if none runs. If it failed or was killed, run it
 * again: until then handlers write nothing.
 *
 * @throws ProjectionError if an argument is invalid, before anything is written, and `REBUILD_RUNS` if a rebuild began or
 *   ended meanwhile; StoreError if the log fails.
 * @example
 * ```ts
 * await redeliver({ app, db, projection: "balances", tables: { balances }, targets: ["balances"] });
 * ```
 */
export async function redeliver<Db extends Database>(options: RedeliverOptions<Db>): Promise<number> {
  checkInput("redeliver", options, RULES);
  checkProjection("redeliver", options);
  if (typeof options.app?.reset !== "function")
    throw badInput("redeliver: app must be what act()…build() returns.");
  const { app, db, projection, positions = actPositions(), tables, targets } = options;
  if (typeof targets !== "object" || targets === null)
    throw badInput("redeliver: targets must be the projection's targets: a list of names, or a filter.");
  const transactions = new Transactions<TransactionOf<Db>>(db, positions, projection);
  const doing = `projection ${JSON.stringify(projection)} could not be cleared`;
  const clear = async (tx: TransactionOf<Db>) => {
    await transactions.execute(tx, LIMIT_LOCKS);
    await transactions.query(tx, lockPositions(positions));
    await transactions.query(tx, makeFloor(positions, projection));
    const [floor] = await transactions.query(tx, floorOf(positions, projection));
    // An interrupted call has already cleared them.
    if (floor?.handlers && Number(floor.at) < 0) return;
    await clearAndHold(transactions, tx, Object.values(tables));
  };
  await retryOnLockTimeout(() => transactions.run(doing, clear));
  const reset = await app.reset(targets);
  await transactions.run(doing, async (tx) => {
    await transactions.query(tx, lockPositions(positions));
    const [floor] = await transactions.query(tx, floorOf(positions, projection));
    // A rebuild has filled the tables or is filling them, and its events would count twice. Or another redeliver() has ended.
    if (!floor?.handlers || Number(floor.at) >= 0)
      throw new ProjectionError(
        "REBUILD_RUNS",
        `redeliver: another process has rebuilt or redelivered ${JSON.stringify(projection)} meanwhile, or is rebuilding it. Run redeliver again if its handlers should still process the whole log.`,
      );
    await transactions.query(tx, deliverAgain(positions, projection));
  });
  return reset;
}
