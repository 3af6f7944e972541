/**
 * rebuild(): fills the tables of a projection again from the log, through a fast path of its own beside the workers.
 *
 * Shadows of the tables are filled while the tables stay in use, and are swapped in at a watermark: one transaction locks
 * handlers out, applies the last events, swaps the tables, and raises the projection's floor to the last event of the log.
 * Handlers skip events at or below the floor, so that a worker that still holds such an event does not write it a second
 * time. With `inPlace` the tables themselves are emptied and filled, and handlers are locked out from the beginning to the
 * end.
 */
import type { Committed, EventMeta } from "@rotorsoft/act";
import type { PgTable } from "drizzle-orm/pg-core";
import type { PostgresStore } from "../store.ts";
import { ANY, FLAG, FUNCTION, type Rules, SIGNAL } from "../values/rules.ts";
import { checkInput, ProjectionError, rebuildRuns } from "./errors.ts";
import type { TransactionOf } from "./exactly-once.ts";
import { floorOf, lockPositions, makeFloor, raiseFloor } from "./floor.ts";
import { InPlace } from "./in-place.ts";
import { LIMIT_LOCKS, retryOnLockTimeout } from "./lock-timeout.ts";
import { type Filling, idOfMark, markOf } from "./log-mark.ts";
import { type ActPositions, actPositions } from "./positions.ts";
import { LogReader, type Page } from "./read-log.ts";
import { checkRebuild, DEFINITION_RULES } from "./rebuild-input.ts";
import { Shadow } from "./shadow.ts";
import { type Database, Transactions } from "./transactions.ts";

/** When no more than this many ids are left, the rebuild takes the locks and applies the rest. */
const NEAR = 1_000;
const BATCH_SIZE = 5_000;
/** After this many rounds it takes the locks, even if more ids are left. */
const ROUNDS = 20;
/** It also does so after this many rounds that left no fewer ids than the round before. */
const SLOWER_ROUNDS = 2;

/** A schema of an event: a zod object, as `.emits({ … })` and `.on({ … })` get it. */
type Schema = { readonly _zod: { readonly output: unknown } };
/** Schemas of events by name, as `.emits({ … })` and `.on({ … })` get them. */
export type EventSchemas = Readonly<Record<string, Schema>>;
/** The events of these schemas, as handlers get them; `meta` only if the option `meta` is set. */
export type EventOf<Events extends EventSchemas> = {
  [Name in keyof Events & string]: Omit<
    Committed<{ [N in Name]: Extract<Events[Name]["_zod"]["output"], Record<string, unknown>> }, Name>,
    "meta"
  > & { readonly meta?: EventMeta | undefined };
}[keyof Events & string];

const areOf = <Events extends EventSchemas>(
  schemas: Events,
  events: readonly { readonly name: PropertyKey }[],
): events is readonly EventOf<Events>[] => events.every(({ name }) => Object.hasOwn(schemas, name));

/** How far a rebuild is. */
export type RebuildProgress = {
  /** The id up to which the log has been applied. */
  readonly at: number;
  /** The id of the last event of the log, as it was last looked up. */
  readonly head: number;
  /** Events applied by this call. */
  readonly events: number;
};

/** Which projection to rebuild, from which events, and how. */
export type RebuildOptions<
  Db extends Database,
  Events extends EventSchemas,
  Tables extends Readonly<Record<string, PgTable>>,
> = {
  /** The database of the read models. */
  readonly db: Db;
  readonly store: PostgresStore;
  /** The name that `exactlyOnce` got. */
  readonly projection: string;
  /** Default `actPositions()`. */
  readonly positions?: ActPositions | undefined;
  /** All events that the projection handles, by name, as its `.on({ … })` gets them. */
  readonly events: Events;
  /** The tables that this projection writes; no other projection may write them. The rebuild fills them from empty. */
  readonly tables: Tables;
  /**
   * Applies events, in order of id, through `tx` to the tables of its third argument, which are shadows of yours, or
   * with `inPlace` your tables. It may run again with the same events after its transaction was rolled back.
   */
  readonly apply: (
    events: readonly EventOf<Events>[],
    tx: TransactionOf<Db>,
    tables: Tables,
  ) => PromiseLike<unknown>;
  /** Empties and fills the tables themselves: readers see them grow, and handlers wait. Default false. */
  readonly inPlace?: boolean | undefined;
  /** Also reads the `meta` of events, which is often larger than the rest of an event. Default false. */
  readonly meta?: boolean | undefined;
  /**
   * The most events that `apply` gets at once, 1 to 100,000. Default 5,000. More are faster if `apply` sends one statement
   * for all of them; a statement can have 65,535 parameters.
   */
  readonly batchSize?: number | undefined;
  /**
   * Begins at the first event, even if an interrupted rebuild could go on: needed if `apply` has changed, or events that it has
   * handled already. A restored log is noticed without it. Default false.
   */
  readonly restart?: boolean | undefined;
  /** Called after each batch. */
  readonly onProgress?: ((progress: RebuildProgress) => void) | undefined;
  /** Stops it between two batches. Run it again to go on. */
  readonly signal?: AbortSignal | undefined;
};

const RULES: Rules<RebuildOptions<Database, EventSchemas, Readonly<Record<string, PgTable>>>> = {
  ...DEFINITION_RULES,
  store: ANY,
  inPlace: FLAG,
  restart: FLAG,
  onProgress: FUNCTION,
  signal: SIGNAL,
};

/** The result of a rebuild. */
export type RebuildResult = {
  /** Events applied by this call. */
  readonly events: number;
  /** The watermark: the tables hold every event up to this id. */
  readonly at: number;
  /** The id after which it went on; -1 if it began with the first event. */
  readonly from: number;
  /** ms for which handlers waited for the last transaction. */
  readonly lockedMillis: number;
};

/** The tables that are filled: shadows, or the tables themselves. */
type Filled<Tx, Tables> = {
  open(names: readonly string[], restart: boolean): Promise<Filling>;
  tables(): Tables;
  lockOutRebuilds(tx: Tx): Promise<void>;
  advance(tx: Tx, from: number, filling: Filling): Promise<boolean>;
  liveUses(tx: Tx): Promise<number>;
  analyze(filling: Filling): Promise<void>;
  lockOutWriters(tx: Tx): Promise<void>;
  swap(tx: Tx): Promise<void>;
};

const markNow = (log: LogReader, mark: string) => log.markAt(idOfMark(mark));

/**
 * Rebuilds a projection from the whole log. Without `inPlace`, readers and workers go on meanwhile.
 *
 * A rebuild that was killed goes on where it stopped when it is called again. Only one may run for a projection.
 *
 * @throws ProjectionError: `BAD_INPUT`; `CANNOT_SWAP` if a table cannot be replaced, before anything is written, or
 *   at the end if a table was changed or the log was restored meanwhile; `REBUILD_RUNS`; `HANDLER_FAILED` if a query of
 *   `apply` or of the rebuild fails. StoreError if the log cannot be read. What `apply` throws, or the signal's reason. After
 *   an error the tables that readers use are unchanged, unless `inPlace` is set.
 * @example
 * ```ts
 * await rebuild({
 *   db, store, projection: "balances", events: { Deposited }, tables: { balances },
 *   apply: async (events, tx, { balances }) => {
 *     for (const { stream, data } of events) await add(tx, balances, stream, data.amount);
 *   },
 * });
 * ```
 */
export async function rebuild<
  Db extends Database,
  Events extends EventSchemas,
  Tables extends Readonly<Record<string, PgTable>>,
>(options: RebuildOptions<Db, Events, Tables>): Promise<RebuildResult> {
  checkInput("rebuild", options, RULES);
  checkRebuild(options);
  const { db, store, projection, positions = actPositions(), events: schemas, tables, signal } = options;
  const transactions = new Transactions<TransactionOf<Db>>(db, positions, projection);
  const names = Object.keys(schemas);
  const filled: Filled<TransactionOf<Db>, Tables> = options.inPlace
    ? new InPlace(transactions, tables)
    : new Shadow(transactions, tables);
  const { meta = false, batchSize = BATCH_SIZE } = options;
  const log = new LogReader(store, names, { meta, batchSize });
  const target = filled.tables();
  const doing = `the rebuild of projection ${JSON.stringify(projection)} failed`;

  signal?.throwIfAborted();
  await transactions.run(doing, async (tx) => {
    // Fails before the work begins if the table of positions is missing.
    await transactions.query(tx, floorOf(positions, projection));
  });
  const open = (restart: boolean) => retryOnLockTimeout(() => filled.open(names, restart), signal);
  let filling = await open(options.restart ?? false);
  let head = await log.head();
  // Of the log's last event now. If it differs when the rebuild ends, the log was restored meanwhile.
  const headMark = await log.markAt(head);
  // The log was restored, and its ids begin anew: what an interrupted rebuild has filled is of the old log. If the event of the
  // mark is gone, nothing tells whether this is the same log.
  if (
    filling.at >= 0 &&
    (head < filling.at || !filling.mark || (await markNow(log, filling.mark)) !== filling.mark)
  )
    filling = await open(true);
  const from = filling.at;
  let events = 0;
  /** Applies one page within a transaction, and returns how far the tables are filled then. */
  const apply = async (tx: TransactionOf<Db>, page: Page, known: Filling): Promise<Filling> => {
    const last = page.events.at(-1);
    const next: Filling = { at: page.to, mark: last ? markOf(last) : known.mark };
    if (!(await filled.advance(tx, known.at, next))) throw rebuildRuns(projection);
    if (page.events.length === 0) return next;
    const before = await filled.liveUses(tx);
    if (!areOf(schemas, page.events)) throw new Error("act-drizzle: the log gave events of other names.");
    await options.apply(page.events, tx, target);
    if ((await filled.liveUses(tx)) !== before)
      throw new ProjectionError(
        "BAD_INPUT",
        "rebuild: apply has used one of your tables instead of its shadow: read and write the tables that it gets as its third argument. tx.query always reads your tables.",
      );
    return next;
  };
  let slower = 0;
  for (let round = 0; round < ROUNDS && head - filling.at > (round === 0 ? 0 : NEAR); round++) {
    const rest = head - filling.at;
    for await (const page of log.read(filling.at, head)) {
      signal?.throwIfAborted();
      let next = filling;
      await transactions.run(doing, async (tx) => {
        await filled.lockOutRebuilds(tx);
        next = await apply(tx, page, filling);
      });
      filling = next;
      events += page.events.length;
      await options.onProgress?.({ at: filling.at, head, events });
    }
    head = await log.head();
    // Events arrive faster than they are applied. Each round would be longer than the one before it.
    if (head - filling.at >= rest && ++slower >= SLOWER_ROUNDS) break;
  }
  await filled.analyze(filling);

  let restored = false;
  const finish = async () => {
    let last = { at: filling.at, head, events: 0, lockedMillis: 0 };
    await transactions.run(doing, async (tx) => {
      await transactions.execute(tx, LIMIT_LOCKS);
      await filled.lockOutRebuilds(tx);
      await transactions.query(tx, lockPositions(positions));
      await transactions.query(tx, makeFloor(positions, projection));
      const start = performance.now();
      await filled.lockOutWriters(tx);
      // No handler runs now, so every event that a handler has committed is at or below this id.
      const end = await log.head();
      // Without this event, as after a truncate, nothing tells that the log was restored.
      const now = headMark && (await markNow(log, headMark));
      restored = end < filling.at || (now !== undefined && now !== headMark);
      if (restored)
        throw new ProjectionError(
          "CANNOT_SWAP",
          "rebuild: the log was restored meanwhile. Nothing was swapped: run the rebuild again, and it begins anew.",
        );
      let applied = 0;
      let known = filling;
      for await (const page of log.read(known.at, end)) {
        known = await apply(tx, page, known);
        applied += page.events.length;
      }
      // Even if no event was left, this checks the record: another process may have begun anew, and filled only a part.
      await apply(tx, { events: [], after: known.at, to: end }, known);
      await filled.swap(tx);
      await transactions.query(tx, raiseFloor(positions, projection, end));
      last = { at: end, head: end, events: applied, lockedMillis: performance.now() - start };
    });
    return last;
  };
  const finished = await retryOnLockTimeout(finish, signal).catch(async (error: unknown) => {
    if (restored) await open(true);
    throw error;
  });
  events += finished.events;
  await options.onProgress?.({ at: finished.at, head: finished.head, events });
  return { events, at: finished.at, from, lockedMillis: Math.round(finished.lockedMillis) };
}
