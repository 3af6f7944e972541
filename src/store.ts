/** PostgresStore: the Store port of @rotorsoft/act. Each verb is a file of its own, and is documented here. */
import { inspect } from "node:util";
import type {
  BlockedLease,
  Committed,
  EventMeta,
  Lease,
  Message,
  Query,
  QueryStatsOptions,
  QueryStreams,
  QueryStreamsResult,
  Schemas,
  Store,
  StreamFilter,
  StreamPosition,
  StreamStats,
  SubscribeInput,
  SubscribeResult,
  TruncateResult,
} from "@rotorsoft/act";
import { type Health, type HealthOptions, health } from "./admin/health.ts";
import { CONTEXT, type Context } from "./context.ts";
import type { Correlator } from "./correlators.ts";
import { commit } from "./events/commit.ts";
import { forgetPii } from "./events/forget-pii.ts";
import { query } from "./events/query.ts";
import { queryStats } from "./events/query-stats.ts";
import { type RestoreDriver, restore } from "./events/restore.ts";
import { type TruncateTarget, truncate } from "./events/truncate.ts";
import { ddl } from "./migrations/ddl.ts";
import { drop } from "./migrations/drop.ts";
import { seed } from "./migrations/seed.ts";
import type { Handler } from "./notifications/notify.ts";
import type { StoreConfig } from "./options/config.ts";
import type { PostgresStoreOptions } from "./options/options.generated.ts";
import { resolveOptions } from "./options/resolve.ts";
import { ownMethods } from "./own-methods.ts";
import { Runtime } from "./runtime.ts";
import { tablesOf } from "./schema/load-tables.ts";
import { namesFrom } from "./schema/names.ts";
import type { ActTables, ActTablesOptions } from "./schema/tables.ts";
import { ack } from "./subscriptions/ack.ts";
import { block } from "./subscriptions/block.ts";
import { claim } from "./subscriptions/claim.ts";
import { defer } from "./subscriptions/defer.ts";
import { prioritize } from "./subscriptions/prioritize.ts";
import { queryStreams } from "./subscriptions/query-streams.ts";
import { reset } from "./subscriptions/reset.ts";
import { subscribe } from "./subscriptions/subscribe.ts";
import { unblock } from "./subscriptions/unblock.ts";
import { checkArgument, whole } from "./values/rules.ts";

/**
 * Event store on PostgreSQL 14 or newer.
 *
 * Constructing it checks the options and opens no connection. Call `seed()` once per process before use, and
 * `dispose()` at the end. A verb rejects with Act's `ValidationError` if its input is wrong, and with a `StoreError` if
 * the database fails: its `cause` is a {@link ConnectionError} or a {@link DatabaseError}, and docs/reference/errors.md
 * says for each `code` whether the work is done and whether to try again.
 *
 * A verb is a method: a subclass may override it and a test may spy on it. It may also be called without the store in
 * front of it, as when it was destructured, bound, or reached through a Proxy.
 *
 * @example
 * ```ts
 * store(new PostgresStore({ url: process.env.DATABASE_URL }));
 * await store().seed();
 * ```
 */
export class PostgresStore implements Store {
  /** The options with every default applied. The password does not print. */
  readonly config: StoreConfig;
  /**
   * Calls `handler` with the stream and the events of each commit of another process. Resolves, once the server has
   * confirmed LISTEN, to a function that stops listening. A second call replaces the first handler. After a lost connection
   * the store listens again by itself, and reports the events that it missed. It also calls `handler`, with events that are
   * still to be handled, for work that no commit announces, such as an expired lease. Listening keeps the process alive.
   *
   * Present only with `notify: true`, as Act asks of a store; so it is a property of the instance, not a method.
   *
   * @throws StoreError if LISTEN cannot start.
   * @example const stop = await store.notify?.(({ stream, events }) => console.log(stream, events.length));
   */
  // Only declared, because a class field would exist, as undefined, in every store.
  declare readonly notify?: NonNullable<Store["notify"]>;

  readonly #runtime: Runtime;

  /**
   * @param options Where the server is and how to use it; the environment (`PGHOST`, …) and defaults fill the rest.
   * @throws Error that names each wrong option, and shows no value.
   */
  constructor(options?: PostgresStoreOptions) {
    this.#runtime = new Runtime(resolveOptions(options));
    const { config, context, notifier, operations } = this.#runtime;
    this.config = config;
    Object.defineProperty(this, CONTEXT, { value: context });
    if (notifier)
      this.notify = async (handler: Handler) => {
        operations.assertOpen("notify");
        return notifier.start(handler);
      };
    ownMethods(this, PostgresStore.prototype);
  }

  /**
   * The store's Drizzle tables, to query and join with your own. Drizzle is loaded when they are first asked for.
   *
   * @throws Error if drizzle-orm is not installed.
   * @example const { events, streams, correlated } = store.tables;
   */
  get tables(): ActTables {
    return tablesOf(this.config);
  }

  /**
   * The SQL that creates a store's schema, tables and indexes, for running it by hand.
   *
   * @param options `schema`, default `public`, and `table`, default `events`.
   * @throws Error if one of the names cannot be used.
   * @example writeFileSync("act.sql", PostgresStore.ddl({ schema: "shop" }));
   */
  static ddl(options: ActTablesOptions = {}): string {
    return ddl(namesFrom("ddl", options));
  }

  /**
   * Creates the store's schema, tables and indexes, or brings them up to date, those of act-pg too. Nothing that holds
   * events is dropped or rewritten. Call it at every start of every process. Processes may call it at the same time, and on
   * an up-to-date schema it only reads the catalog and the log's last event.
   *
   * @throws StoreError; the database is then unchanged, or lacks indexes of a large table, which the next call builds.
   * @example await store.seed();
   */
  seed(): Promise<void> {
    return this.#run("seed", async (context) => {
      await seed(context);
      this.#runtime.warmUp();
    });
  }

  /**
   * Deletes the store's own tables, and nothing else in the schema. This cannot be undone. Absent tables are no error.
   *
   * @throws StoreError, also if a table of another application stands in their place: it stays.
   * @example await store.drop();
   */
  drop(): Promise<void> {
    return this.#run("drop", (context) => drop(context));
  }

  /**
   * Stops listening, refuses new calls, finishes running ones, releases correlator leases, and closes every connection.
   * Idempotent. A call that still runs after `query_timeout` (by default `statement_timeout` plus 5 s) rejects at its
   * next statement. A restore or an import goes on, and rejects once it has sent nothing for as long.
   *
   * @example process.once("SIGTERM", () => store.dispose());
   */
  dispose(): Promise<void> {
    return this.#runtime.dispose();
  }

  /**
   * Appends events to a stream, all or none. Commits that are made at the same time share one transaction; each
   * resolves once it is durable.
   *
   * @param stream Name of the stream; it begins with its first event.
   * @param msgs The events. For `[]` nothing is sent.
   * @param meta Correlation and causation, the same for all of them.
   * @param expectedVersion Version of the stream's last event, -1 for a new stream. Left out: no check.
   * @returns The events as they stand in the log, with `id`, `version` and `created`.
   * @throws ConcurrencyError with the real version, ValidationError for data that PostgreSQL cannot store, StoreError if the
   *   database fails. Nothing was written, unless the `code` of the StoreError's cause is `OUTCOME_UNKNOWN`.
   * @example await store.commit("order-1", [{ name: "Placed", data: { total: 42 } }], { correlation: "c", causation: {} }, -1);
   */
  commit<E extends Schemas>(
    stream: string,
    msgs: Message<E, keyof E>[],
    meta: EventMeta,
    expectedVersion?: number,
  ): Promise<Committed<E, keyof E>[]> {
    const { context, append } = this.#runtime;
    return this.#runtime.runCommit(() => commit(context, append, stream, msgs, meta, expectedVersion));
  }

  /**
   * Calls `callback` with each matching event in order of id, and waits for what it returns. It reads page by page, so that
   * a log of every length fits in memory, and holds no connection while `callback` runs.
   *
   * @param filter Stream or pattern, names, range of ids and times, `limit` (0, the default: no limit), `backward`.
   *   Left out: all events, snapshots too.
   * @returns How many events `callback` got.
   * @throws What `callback` throws. ValidationError for a pattern that cannot be matched exactly.
   * @example await store.query((event) => console.log(event.id, event.name), { stream: "order-1", stream_exact: true });
   */
  query<E extends Schemas>(
    callback: (event: Committed<E, keyof E>) => void,
    filter?: Query,
  ): Promise<number> {
    return this.#run("query", (context) => query(context, callback, filter));
  }

  /**
   * The last event of each stream, and on request its first, the number of events, and their number by name, without pii.
   *
   * @param input Names of streams, or a filter; `{}` is all.
   * @param options `tail`, `count`, `names`; `exclude` names of events, `before` an id, `after` a stream, `limit` streams.
   * @returns A map by stream, in byte order. A stream without a matching event is absent.
   * @example const stats = await store.query_stats({ stream: "^order-" }, { count: true, limit: 50 });
   */
  query_stats<E extends Schemas>(
    input: string[] | Pick<StreamFilter, "stream" | "stream_exact">,
    options?: QueryStatsOptions<E>,
  ): Promise<Map<string, StreamStats<E>>> {
    return this.#run("query_stats", (context) => queryStats<E>(context, input, options));
  }

  /**
   * Replaces all events of streams by one snapshot or tombstone. With `before`, deletes the events before the latest
   * snapshot that is older than that time. It truncates all streams or none, and cannot be undone.
   *
   * @returns By stream: how many events were deleted, and the event that the stream now begins with.
   * @throws StoreError if the database fails; the `code` of its cause says whether the streams were truncated.
   * @example await store.truncate([{ stream: "order-1", snapshot: { total: 42 } }]);
   */
  truncate(targets: TruncateTarget[]): Promise<TruncateResult> {
    return this.#run("truncate", (context) => truncate(context, targets));
  }

  /**
   * Replaces the whole log by the events that `driver` hands over, and deletes subscriptions and checkpoints, in one
   * transaction. The events get new ids, from 1. With `max: 3` or more the driver may read from this store; a verb that
   * would wait for the restore is refused at once (`IN_RESTORE`).
   *
   * @param driver Called once with a function that takes an event and resolves to its new id.
   * @throws What `driver` throws. After each error but `OUTCOME_UNKNOWN` the store is unchanged.
   * @example await store.restore(async (insert) => { for (const event of backup) await insert(event); });
   */
  restore(driver: RestoreDriver): Promise<void> {
    return this.#run("restore", (context) => restore(context, driver));
  }

  /**
   * Erases the pii of a stream's events, and keeps their other data. It does not reach backups and the WAL.
   *
   * @returns How many events had pii, so a second call returns 0.
   * @example await store.forget_pii("customer-7");
   */
  forget_pii(stream: string): Promise<number> {
    return this.#run("forget_pii", (context) => forgetPii(context, stream));
  }

  /**
   * Registers subscriptions, raises their work marks and the checkpoint, and takes or releases the lease of a correlator.
   *
   * @param streams Subscriptions with `source`, `priority` (default 0), `lane` (default `default`) and `correlated_at`,
   *   the id up to which there is work. A priority or mark only ever rises.
   * @param correlated_at Id up to which the log has been correlated.
   * @param correlator `by` asks for the lease of `key` for `millis` ms. 0 or less releases it.
   * @returns How many are new, the highest watermark (-1: none), the checkpoint, and whether the lease was granted.
   * @example await store.subscribe([{ stream: "mailer", source: "^order-", correlated_at: 10 }]);
   */
  subscribe(
    streams: SubscribeInput[],
    correlated_at?: number,
    correlator?: Correlator,
  ): Promise<SubscribeResult> {
    return this.#run("subscribe", (context) => subscribe(context, streams, correlated_at, correlator));
  }

  /**
   * Leases subscriptions that have work; `by` becomes their holder. No two workers hold the same one at the same time.
   *
   * @param lagging How many that are behind: three quarters by priority, a quarter by age.
   * @param leading How many that are furthest ahead.
   * @param millis Length of the lease in ms, by the server's clock.
   * @param lane Only from this lane. Left out: from all.
   * @example const leases = await store.claim(5, 5, "worker-1", 10_000);
   */
  claim(lagging: number, leading: number, by: string, millis: number, lane?: string): Promise<Lease[]> {
    this.#runtime.notifier?.claims(lane ?? undefined);
    return this.#run("claim", (context) => claim(context, lagging, leading, by, millis, lane));
  }

  /**
   * Moves the watermarks of leases to their `at` and releases the leases, all in one statement. With `due` (ms since
   * the epoch) a subscription is not claimed again before that time, and is left out of the result.
   *
   * @returns The leases that `by` still held.
   * @example await store.ack(leases.map((lease) => ({ ...lease, at: 10 })));
   */
  ack(leases: Lease[]): Promise<Lease[]> {
    return this.#run("ack", (context) => ack(context, leases));
  }

  /**
   * Blocks subscriptions whose handler fails, with the error's text, until `unblock` or `reset`.
   *
   * @returns The leases that `by` still held and whose subscriptions were not blocked before.
   * @example await store.block(leases.map((lease) => ({ ...lease, error: "no such address" })));
   */
  block(leases: BlockedLease[]): Promise<BlockedLease[]> {
    return this.#run("block", (context) => block(context, leases));
  }

  /**
   * Keeps subscriptions from being claimed until a time.
   *
   * @param input Names, or a filter; `{}` is all.
   * @param deferred_at ms since the epoch. A time in the past makes them claimable at once.
   * @returns How many were deferred.
   * @example await store.defer({ lane: "mail" }, Date.now() + 60_000);
   */
  defer(input: string[] | StreamFilter, deferred_at: number): Promise<number> {
    return this.#run("defer", (context) => defer(context, input, deferred_at));
  }

  /**
   * Sets subscriptions back to the beginning, and unblocks them: they handle every event again.
   *
   * @param input Names, or a filter; `{}` is all.
   * @returns How many there were.
   * @example await store.reset(["mailer"]);
   */
  reset(input: string[] | StreamFilter): Promise<number> {
    return this.#run("reset", (context) => reset(context, input));
  }

  /**
   * Lets blocked subscriptions go on from where they stopped.
   *
   * @param input Names, or a filter; `{}` is all that are blocked.
   * @returns How many were blocked.
   * @example await store.unblock({ source: "^order-" });
   */
  unblock(input: string[] | StreamFilter): Promise<number> {
    return this.#run("unblock", (context) => unblock(context, input));
  }

  /**
   * Sets the priority of subscriptions, up or down. Higher ones are claimed first; the default is 0.
   *
   * @returns How many had another priority before.
   * @example await store.prioritize({ stream: "mailer", stream_exact: true }, 10);
   */
  prioritize(filter: StreamFilter, priority: number): Promise<number> {
    return this.#run("prioritize", (context) => prioritize(context, filter, priority));
  }

  /**
   * Calls `callback` with the position of each subscription, in byte order of their names.
   *
   * @param filter The filter of `reset`, and `after` a name, `limit` (default 100; 0: no positions), `source_matches`.
   * @returns The last id of the log (-1: empty), and how many positions there were.
   * @example await store.query_streams(({ stream, error }) => console.log(stream, error), { blocked: true });
   */
  query_streams(
    callback: (position: StreamPosition) => void,
    filter?: QueryStreams,
  ): Promise<QueryStreamsResult> {
    return this.#run("query_streams", (context) => queryStreams(context, callback, filter));
  }

  /**
   * Tells the store that the caller has seen the event `id`, which another process may have committed. From then on, no
   * replica that lacks it, or an event before it, answers this store's `query` and `query_stats`.
   * @throws ValidationError if `id` is not a whole number from -1.
   * @example store.sawEvent(42);
   */
  sawEvent(id: number): void {
    checkArgument("sawEvent", "id", id, whole(-1, Number.MAX_SAFE_INTEGER));
    this.#runtime.context.connections.seen?.event(id);
  }

  /**
   * Whether this process can work with its store now: one round trip, and it never rejects.
   *
   * @param options `timeoutMs` (2,000); `deep`: also append lock, blocked, oldest lag.
   * @example const { ok, problems } = await store.health();
   */
  health(options?: HealthOptions): Promise<Health> {
    return health(this.#runtime.context, options);
  }

  #run<T>(verb: string, work: (context: Context) => Promise<T>): Promise<T> {
    return this.#runtime.run(verb, work);
  }

  /** What `JSON.stringify(store)` shows: the configuration, without secrets. */
  toJSON(): { config: StoreConfig } {
    return { config: this.config };
  }

  /** What `console.log(store)` shows: the configuration, without the password. */
  [inspect.custom](): string {
    return `PostgresStore ${inspect(this.config)}`;
  }
}
