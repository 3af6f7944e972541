/**
 * Moves a store's tables to another server while processes use them: the log with its ids, the subscriptions, the
 * checkpoints.
 *
 * The log is copied and compared while it grows and changes (docs/internals/adr/0024). Then one transaction on the source
 * locks the tables, copies and compares what changed since the last pass, and moves the tables out of the way. So every
 * commit is either in the new log or was refused. Calls wait only for the last changes, however long the log is.
 *
 * States: copying (the source is in use) → locked (calls to the source wait) → moved (the source refuses calls, the target
 * has everything). A move that fails leaves the source as it was, and a copy in the target that nobody uses.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Context } from "../context.ts";
import { codeOf } from "../errors.ts";
import { seed } from "../migrations/seed.ts";
import { readByIndex } from "../postgres/by-index.ts";
import type { Query, Row, Run, StoreConnections } from "../postgres/index.ts";
import { RETRIABLE_OR_LOCKED } from "../postgres/retry.ts";
import { literal, type Names, namesOf } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import { checkGiven, FLAG, FUNCTION, NAME, type Rules } from "../values/rules.ts";
import type { LogSource } from "./export.ts";
import { lastGiven, moveSequence } from "./import.ts";
import { type Recording, record, recordedAll, stopRecording, takeChanged } from "./move/changes.ts";
import { partsOf, sameEvents, sameRange } from "./move/compare.ts";
import { copyAgain, copyRange } from "./move/copy-events.ts";
import { SubscriptionsCopy } from "./move/copy-subscriptions.ts";
import { refuseDistributed } from "./move/distributed.ts";
import { MoveError } from "./move/error.ts";
import { refuseSamePlace } from "./move/same-place.ts";
import { closeTarget, fill, openTarget } from "./move/target.ts";

/** Options of `move()`. */
export type MoveOptions = {
  /** The schema, on the old server, that the old tables are moved to. Default: the store's, with `_moved` appended. */
  readonly keepIn?: string | undefined;
  /** The target has a copy of an earlier attempt, which may be deleted. Default false: it must be empty. */
  readonly again?: boolean | undefined;
  /** Called after each pass of copying, and when the state changes. */
  readonly onProgress?: ((progress: MoveProgress) => void) | undefined;
};

const RULES: Rules<MoveOptions> = { keepIn: NAME, again: FLAG, onProgress: FUNCTION };

/** The progress of a move: its state, and the number of events that the target has so far. */
export type MoveProgress = { readonly state: "copying" | "locked" | "moved"; readonly events: number };

/** The result of `move()`. */
export type Moved = {
  readonly events: number;
  readonly subscriptions: number;
  /** ms for which calls to the source waited. */
  readonly lockedMs: number;
};

/**
 * `few`: a catch-up ends after a pass that finds at most this many new or changed events (or subscriptions).
 * `passes`: most passes of one catch-up. If the last one still finds more events, the move gives up. `lockMs`:
 * longest wait for a lock. Calls queue behind a lock request that waits, so it is short.
 */
const LIMITS = { few: 1_000, passes: 10, lockMs: 5_000 };
const ATTEMPTS = 5;
const MARK = "act-drizzle: moved to another server";

const DIFFERENT =
  "nothing was moved: the copied events differ from those of the log. Repeat the move with `again: true`";
const REWRITTEN =
  "nothing was moved: the server was restarted after a crash, or the log was truncated or rewritten (TRUNCATE, VACUUM FULL, " +
  "ALTER TABLE), or its triggers were disabled, while it was copied. Repeat the move with `again: true`";

export async function move(
  source: Context,
  target: Context,
  options: MoveOptions = {},
  limits: Partial<typeof LIMITS> = {},
): Promise<Moved> {
  checkGiven("move", options, RULES);
  const keepIn = namesOf(options.keepIn ?? `${source.names.schema}_moved`, source.names.table);
  if (keepIn.schema === source.names.schema)
    throw new Error('act-drizzle: option "keepIn": name another schema than the one of the store');
  if (source.connections.hasOnlyConnectionOf(target.connections))
    throw new Error(
      "act-drizzle: a move reads from one store while it writes to the other, and they share one connection for all but commits: " +
        "raise `max` of their PostgresDatabase, or give the target connections of its own. Nothing was moved",
    );
  await refuseSamePlace(source, target);
  await refuseDistributed(source, "source");
  await removeMark(target);
  await seed(target);
  await refuseDistributed(target, "target");
  target.connections.sharedFacts?.forget();
  await closeTarget(target, options.again === true);
  const copy = new Copy(source, target, { ...LIMITS, ...limits }, options.onProgress);
  try {
    return await retryOnLockTimeout(async () => {
      await copy.catchUp();
      await copy.catchUpSubscriptions();
      // Meanwhile the log has grown.
      await copy.catchUp();
      return await copy.cutOver(keepIn);
    });
  } catch (error) {
    await copy.giveUp();
    throw error;
  }
}

/**
 * Repeats `work` if a lock was not granted in time, or if a deadlock was lost to a verb that locks the tables in another
 * order.
 */
async function retryOnLockTimeout<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const code = error instanceof Error ? codeOf(error.cause) : undefined;
      if (attempt === ATTEMPTS || !RETRIABLE_OR_LOCKED.has(code)) throw error;
    }
  }
}

class Copy {
  readonly #source: Context;
  readonly #target: Context;
  readonly #limits: typeof LIMITS;
  readonly #onProgress: MoveOptions["onProgress"];
  /** Number of events in the target. */
  #events = 0;
  #lastId = -1;
  #recording: Recording | undefined;
  readonly #subscriptions: SubscriptionsCopy;
  #lockedMs = 0;

  constructor(
    source: Context,
    target: Context,
    limits: typeof LIMITS,
    onProgress: MoveOptions["onProgress"],
  ) {
    this.#source = source;
    this.#target = target;
    this.#subscriptions = new SubscriptionsCopy(source.names, target);
    this.#limits = limits;
    // It may call the store. Under the lock such a call must not count as a part of the move's own session, so it is
    // bound to the caller's async context.
    this.#onProgress = onProgress && AsyncLocalStorage.bind(onProgress);
  }

  #tell(state: MoveProgress["state"]): Promise<unknown> {
    return Promise.resolve(this.#onProgress?.({ state, events: this.#events }));
  }

  /** Copies and compares what is new or changed, until a pass finds no more than `few` events. */
  async catchUp(): Promise<void> {
    const { few, passes } = this.#limits;
    for (let pass = 1; ; pass++) {
      const found = await this.#pass();
      await this.#tell("copying");
      if (found <= few) return;
      // Under the lock, calls would have to wait for all that is missing, and nobody could say how long.
      if (pass === passes)
        throw new MoveError(
          `nothing was moved: while events were copied, ${found} more were added or changed, even in pass ${passes}. Stop the ` +
            "writers, or wait until fewer events come. Then repeat the move with `again: true`",
        );
    }
  }

  /**
   * Subscriptions in use change all the time. So up to `few` of them are left for the lock, and after the last pass any
   * number.
   */
  async catchUpSubscriptions(): Promise<void> {
    const { few, passes } = this.#limits;
    const { connections } = this.#source;
    const read: Run = (query) => connections.read("move", query);
    const pages: Run = (query) => readByIndex(connections, "move", query);
    for (let pass = 1; (await this.#subscriptions.copy(read, pages)) > few && pass < passes; ) pass++;
  }

  /** Returns how many events were new or changed. */
  async #pass(): Promise<number> {
    const [source, target] = [this.#source, this.#target];
    const { names } = source;
    const recording = await this.#withLockLimit((run) => record(run, names, this.#recording));
    if (!recording) throw new MoveError(REWRITTEN);
    this.#recording = recording;
    const changed = await this.#copyChanged();
    const { upTo } = recording;
    const { added, copied } = await copyRange(source, target, this.#lastId, upTo);
    this.#events += added;
    for await (const [low, high] of partsOf(source, this.#lastId, upTo))
      await this.#assertSame(sameRange(source, target, low, high));
    this.#lastId = upTo;
    return copied + changed;
  }

  /** Runs a transaction with a short lock_timeout, so that calls do not queue for long behind its lock request. */
  #withLockLimit<T>(work: (run: Run) => Promise<T>): Promise<T> {
    return retryOnLockTimeout(() =>
      this.#source.connections.session("move", async (run) => {
        await run({ text: `set local lock_timeout = ${this.#limits.lockMs}` });
        return await work(run);
      }),
    );
  }

  /**
   * Ends the recording. Its own error is dropped: the caller throws the first one, and the next attempt removes what is left.
   */
  giveUp(): Promise<void> {
    return this.#withLockLimit((run) => stopRecording(run, this.#source.names)).catch(() => {});
  }

  /** Copies the events with recorded changes again, in transactions of up to 10,000 records. Returns the number of events. */
  async #copyChanged(): Promise<number> {
    for (let count = 0; ; ) {
      // If this transaction fails, the ids stay recorded.
      const { ids, more } = await this.#source.connections.session("move", async (run) => {
        const { names } = this.#source;
        const changed = await takeChanged(run, names);
        await this.#copyAgain(within(names, run), changed.ids);
        return changed;
      });
      if (ids.length > 0) await this.#assertSame(sameEvents(this.#source, this.#target, ids));
      count += ids.length;
      // Events that change from now on are left for the next pass.
      if (!more) return count;
    }
  }

  async #copyAgain(log: LogSource, ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    const { added } = await copyAgain(log, this.#target, ids);
    this.#events += added;
  }

  /** Throws unless the copy equals the log. The error says whether every change was recorded. */
  async #assertSame(same: Promise<boolean>): Promise<void> {
    if (await same) return;
    const recorded = await this.#source.connections.session("move", (run) => this.#recordedAll(run));
    throw new MoveError(recorded ? DIFFERENT : REWRITTEN);
  }

  async #recordedAll(run: Run): Promise<boolean> {
    return this.#recording !== undefined && (await recordedAll(run, this.#source.names, this.#recording));
  }

  /** One transaction of the source, in which no other session can read or write its tables. */
  async cutOver(keepIn: Names): Promise<Moved> {
    const { names, connections } = this.#source;
    let began = performance.now();
    let told: Promise<unknown> | undefined;
    const work = async (run: Run) => {
      await run({
        text: `select set_config('statement_timeout', '0', true), set_config('synchronous_commit', 'on', true),
  set_config('lock_timeout', '${this.#limits.lockMs}', true)`,
      });
      began = performance.now();
      await run({
        text: `lock table ${names.events}, ${names.streams}, ${names.correlated} in access exclusive mode`,
      });
      // Awaited only after the lock is released, because onProgress may call the store.
      told = this.#tell("locked");
      told.catch(() => {});
      await this.#finish(run, names);
      const subscriptions = await this.#subscriptions.finish(run);
      await alignSequence(run, names, this.#target);
      await stopRecording(run, names);
      await moveAway(run, names, keepIn);
      await fill(this.#target, (write) => openTarget(write, this.#target.names));
      return { events: this.#events, subscriptions };
    };
    const moved = await connections.session("move", work, {
      // recover() ends the server process first. Otherwise that process might still commit after the query was answered.
      wasCommitted: async (backend) => marked((await connections.recover(backend, [markQuery(names)]))[0]),
    });
    this.#lockedMs = performance.now() - began;
    await told;
    await this.#tell("moved");
    return { ...moved, lockedMs: this.#lockedMs };
  }

  /** Under the lock: copies and compares what was added or changed since the last pass. */
  async #finish(run: Run, names: Names): Promise<void> {
    const [locked, target] = [within(names, run), this.#target];
    if (!(await this.#recordedAll(run))) throw new MoveError(REWRITTEN);
    const from = this.#lastId;
    const upTo = await lastIdOf(locked);
    const again: (readonly number[])[] = [];
    // Repeated until no id is left, because a comparison leaves out events whose change is still recorded.
    for (;;) {
      const { ids } = await takeChanged(run, names);
      if (ids.length === 0) break;
      await this.#copyAgain(locked, ids);
      again.push(ids);
    }
    const { added } = await copyRange(locked, target, from, upTo);
    this.#events += added;
    if (!(await sameRange(locked, target, from, Number.MAX_SAFE_INTEGER))) throw new MoveError(DIFFERENT);
    for (const ids of again) if (!(await sameEvents(locked, target, ids))) throw new MoveError(DIFFERENT);
  }
}

/** The tables as the transaction of `run` sees them. */
const within = (names: Names, run: Run): LogSource => ({
  names,
  connections: { read: (_operation, query) => run(query) } as Pick<StoreConnections, "read">,
});

async function lastIdOf({ names, connections }: LogSource): Promise<number> {
  const [row] = await connections.read("move", {
    text: `select coalesce(max(id), -1) as id from ${names.events}`,
  });
  return Number(row?.id);
}

/** The target's ids go on after every id that was ever given out, even those of events that no longer exist. */
async function alignSequence(run: Run, names: Names, target: Context): Promise<void> {
  const last = await lastGiven(run, names);
  if (last > 0) await fill(target, (write) => moveSequence(write, target.names, last));
}

/** Moves the tables away and creates a view in the log's place. No verb can use the view, and seed() refuses to create a log. */
async function moveAway(run: Run, names: Names, keepIn: Names): Promise<void> {
  await run({ text: `create schema if not exists "${keepIn.schema}"` });
  for (const table of [names.events, names.streams, names.correlated])
    await run({ text: `alter table ${table} set schema "${keepIn.schema}"` });
  await run({ text: `create view ${names.events} as select ${literal(MARK)}::text as moved` });
  await run({ text: `comment on view ${names.events} is ${literal(MARK)}` });
}

const markQuery = ({ schema, table }: Names): Query => ({
  text: `select exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = ${literal(schema)} and c.relname = ${literal(tableNames(table).events)} and c.relkind = 'v'
    and obj_description(c.oid, 'pg_class') = ${literal(MARK)}) as marked`,
});

const marked = (rows: readonly Row[] | undefined): boolean => rows?.[0]?.marked === true;

/** Drops the view of an earlier move, if the store moves back to this place. */
async function removeMark(target: Context): Promise<void> {
  if (!marked(await target.connections.read("move", markQuery(target.names)))) return;
  await target.connections.session("move", (run) => run({ text: `drop view ${target.names.events}` }));
}
