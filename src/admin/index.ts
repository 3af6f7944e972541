/** `act-drizzle/admin`: reads the state of a store and operates it, for the command, health checks and your own tools. */
import type { StreamFilter } from "@rotorsoft/act";
import { type Archived, type ArchiveOptions, archive } from "../backup/archive.ts";
import { type ExportOptions, exportEvents } from "../backup/export.ts";
import { type Imported, type ImportOptions, importEvents } from "../backup/import.ts";
import { type Moved, type MoveOptions, move } from "../backup/move.ts";
import { type Context, contextOf } from "../context.ts";
import { defer } from "../subscriptions/defer.ts";
import type { StreamInput } from "../subscriptions/filter.ts";
import { prioritize } from "../subscriptions/prioritize.ts";
import { reset } from "../subscriptions/reset.ts";
import { unblock } from "../subscriptions/unblock.ts";
import type { ProgressOptions } from "../subscriptions/update.ts";
import { type Blocked, type BlockedOptions, blocked } from "./blocked.ts";
import { type AppendLock, appendLock, type ServerConnections, serverConnections } from "./connections.ts";
import type { Finding } from "./doctor/checks.ts";
import { type DoctorOptions, doctor } from "./doctor/doctor.ts";
import { type EventFilter, type EventView, event, events } from "./events.ts";
import { type FollowOptions, follow } from "./follow.ts";
import { type Lagging, type LagOptions, lag } from "./lag.ts";
import { type CorrelatorState, correlators, type HeldLease, leases } from "./leases.ts";
import { type LogFilter, type LogPage, log } from "./log.ts";
import { type Matching, type MatchingOptions, matching } from "./matching.ts";
import { type NamesInUse, namesInUse, type StreamNamesOptions, streamNames } from "./names-in-use.ts";
import { type Overview, overview } from "./overview.ts";
import { type Personal, personal } from "./personal.ts";
import { type PlannedStep, plan } from "./plan.ts";
import { type PositionsTable, projections } from "./projections.ts";
import { type Readers, type ReadersOptions, readers } from "./readers.ts";
import { type Reaped, type ReapOptions, reap } from "./reap.ts";
import { type Relations, relations } from "./relations.ts";
import { type ReleaseOptions, release } from "./release.ts";
import { type SkipOptions, type Skipped, type SkippedOptions, skip, skipped } from "./skip.ts";
import { type Growth, growth, type Storage, storage } from "./storage.ts";
import { type StoreName, storeOn, stores } from "./stores.ts";
import { type StreamOptions, type StreamView, stream } from "./stream.ts";
import { type SubscriptionsOptions, type SubscriptionsPage, subscriptions } from "./subscriptions.ts";
import { type Trace, trace } from "./trace.ts";
import { snapshotAt, type VersionsOptions, versions } from "./versions.ts";
import { type Watch, watch } from "./watch.ts";

export {
  type Archived,
  ArchiveError,
  type ArchiveManifest,
  type ArchiveOptions,
  type ArchiveProgress,
} from "../backup/archive.ts";
export { type Compression, compress, decompress } from "../backup/compression.ts";
export { ImportError } from "../backup/event-order.ts";
export type { ExportOptions, ExportProgress } from "../backup/export.ts";
export { ExportError } from "../backup/export-error.ts";
export { type ArchiveTarget, folder } from "../backup/folder.ts";
export { type Imported, type ImportMode, type ImportOptions, LogNotEmptyError } from "../backup/import.ts";
export { MoveError } from "../backup/move/error.ts";
export type { Moved, MoveOptions, MoveProgress } from "../backup/move.ts";
export type { ProgressOptions } from "../subscriptions/update.ts";
export type { Blocked, BlockedOptions } from "./blocked.ts";
export type { Count } from "./bounded.ts";
export type { AppendLock, LockSession, ServerConnections } from "./connections.ts";
export { FINDING_CODES, type Finding, type FindingCode, type Severity } from "./doctor/checks.ts";
export type { DoctorOptions } from "./doctor/doctor.ts";
export type { EventFilter, EventView } from "./events.ts";
export type { FollowOptions } from "./follow.ts";
export type { Lagging, LagOptions } from "./lag.ts";
export type { CorrelatorState, HeldLease } from "./leases.ts";
export type { LogFilter, LogPage } from "./log.ts";
export type { Matching, MatchingOptions } from "./matching.ts";
export type { NamesInUse, StreamNamesOptions } from "./names-in-use.ts";
export type { EventNames, EventRef } from "./next-events.ts";
export type { Overview, ServerFacts } from "./overview.ts";
export type { Personal } from "./personal.ts";
export type { PlannedStep } from "./plan.ts";
export type { PositionsTable, ProjectionState } from "./projections.ts";
export type { Reader, Readers, ReadersOptions, StreamReader } from "./readers.ts";
export type { Reaped, ReapOptions } from "./reap.ts";
export type { Relations } from "./relations.ts";
export type { ReleaseOptions } from "./release.ts";
export { SkipError, type SkipOptions, type Skipped, type SkippedOptions } from "./skip.ts";
export type { SourceKind } from "./sources.ts";
export type { Growth, IdCapacity, IndexSize, Storage, TableSize } from "./storage.ts";
export type { StoreName } from "./stores.ts";
export type { StreamOptions, StreamView } from "./stream.ts";
export type {
  Subscription,
  SubscriptionSort,
  SubscriptionState,
  SubscriptionsOptions,
  SubscriptionsPage,
} from "./subscriptions.ts";
export type { Trace, TraceNode } from "./trace.ts";
export type { VersionsOptions } from "./versions.ts";
export type { Watch } from "./watch.ts";

/**
 * Reads the state of a store and operates it, on the store's own connections. Most methods that read take one or two
 * statements, and cost the same on a log of any size: counts and lists have a limit, and longer searches a time limit.
 *
 * @throws StoreError, as the store's verbs do.
 * @example
 * ```ts
 * import { Admin } from "act-drizzle/admin";
 *
 * const admin = new Admin(store);
 * for (const { stream, lagMs, events } of await admin.lag()) console.log(stream, lagMs, events.count);
 * ```
 */
export class Admin {
  readonly #context: Context;

  /** @param store A PostgresStore, seeded. */
  constructor(store: object) {
    this.#context = contextOf(store);
  }

  /** The server, the log's ends, and how many subscriptions are behind, blocked, leased and deferred. */
  overview(): Promise<Overview> {
    return overview(this.#context);
  }

  /** Subscriptions with events that wait: how many, for how long, and which one is next. */
  lag(options?: LagOptions): Promise<Lagging[]> {
    return lag(this.#context, options);
  }

  /** Blocked subscriptions, each with its error and the event that it stands at. */
  blocked(options?: BlockedOptions): Promise<Blocked[]> {
    return blocked(this.#context, options);
  }

  /** The leases: who holds which subscription, and until when. */
  leases(options?: { readonly limit?: number | undefined }): Promise<HeldLease[]> {
    return leases(this.#context, options);
  }

  /** The checkpoints of the correlators, and which of them is held. */
  correlators(options?: { readonly limit?: number | undefined }): Promise<CorrelatorState[]> {
    return correlators(this.#context, options);
  }

  /** The server's connections, by application. */
  connections(): Promise<ServerConnections> {
    return serverConnections(this.#context);
  }

  /** Who holds the append lock, and who waits for it. */
  appendLock(): Promise<AppendLock> {
    return appendLock(this.#context);
  }

  /** Sizes of tables and indexes, dead rows, and ids that are left. */
  storage(): Promise<Storage> {
    return storage(this.#context);
  }

  /** Events of the last `windowMs` (default 60,000). */
  growth(options?: { readonly windowMs?: number | undefined }): Promise<Growth> {
    return growth(this.#context, options);
  }

  /** Events by a filter, newest first. Personal data is never among them. */
  events(filter?: EventFilter): Promise<EventView[]> {
    return events(this.#context, filter);
  }

  /** One event with its payload. Undefined if the log does not hold it. */
  event(id: number): Promise<EventView | undefined> {
    return event(this.#context, id);
  }

  /**
   * A page of the log, newest first; `older` and `newer` lead to the next pages. If no index serves the filter, the log is
   * searched in parts: a page takes about a second at most, and says how far it has searched.
   *
   * @example
   * ```ts
   * let page = await admin.log({ actor: "ada" });
   * while (page.older !== undefined) page = await admin.log({ actor: "ada", before: page.older });
   * ```
   */
  log(filter?: LogFilter): Promise<LogPage> {
    return log(this.#context, filter);
  }

  /** The cause of an event, its effects, and its neighbours in the stream. */
  relations(event: EventView): Promise<Relations> {
    return relations(this.#context, event);
  }

  /** The personal data of one event. Undefined if the log does not hold the event. */
  personal(id: number): Promise<Personal | undefined> {
    return personal(this.#context, id);
  }

  /** Names of events and lanes, for choosing from. */
  namesInUse(): Promise<NamesInUse> {
    return namesInUse(this.#context);
  }

  /** Names of streams that begin with a text, in byte order. */
  streamNames(options?: StreamNamesOptions): Promise<string[]> {
    return streamNames(this.#context, options);
  }

  /** Events of a stream by version, with their data. */
  versions(stream: string, options: VersionsOptions): Promise<EventView[]> {
    return versions(this.#context, stream, options);
  }

  /** The version of a stream's newest snapshot at or before `version`. */
  snapshotAt(stream: string, version: number): Promise<number | undefined> {
    return snapshotAt(this.#context, stream, version);
  }

  /** Who reads a stream: by its name, by a pattern, or because it reads every stream. */
  readers(stream: string, options?: ReadersOptions): Promise<Readers> {
    return readers(this.#context, stream, options);
  }

  /** Subscriptions, filtered and sorted, each with the event that it gets next. */
  subscriptions(options?: SubscriptionsOptions): Promise<SubscriptionsPage> {
    return subscriptions(this.#context, options);
  }

  /**
   * The subscriptions that a verb of the store would change, selected by names or by a filter: how
   * many there are, and the first of them.
   */
  matching(input: string[] | StreamFilter, options?: MatchingOptions): Promise<Matching> {
    return matching(this.#context, input, options);
  }

  /** Positions of projections, and rebuilds that run, in the store's database. */
  projections(): Promise<PositionsTable[]> {
    return projections(this.#context);
  }

  /** The stores of the database that the role may read. */
  stores(): Promise<StoreName[]> {
    return stores(this.#context);
  }

  /**
   * An Admin of another store of the database, on the same connections.
   *
   * @throws Error if a name is not an identifier.
   * @example for (const name of await admin.stores()) console.log(await admin.on(name).overview());
   */
  on(name: StoreName): Admin {
    return new Admin(storeOn(this.#context, name));
  }

  /**
   * New events in order of id, page by page, until the signal aborts.
   *
   * @example for await (const page of admin.follow({ signal: AbortSignal.timeout(60_000) })) console.log(page.length);
   */
  follow(options: FollowOptions): AsyncGenerator<readonly EventView[], void> {
    return follow(this.#context, options);
  }

  /**
   * Calls `onWake` after commits of a store with `notify`, until `stop()`. It takes one connection, or shares the one
   * for LISTEN if stores share connections, and keeps the process alive. Undefined if LISTEN is not possible.
   */
  watch(onWake: () => void): Promise<Watch | undefined> {
    return watch(this.#context, onWake);
  }

  /** What seed() would do, and which locks it would take. Empty if the tables are up to date. */
  plan(): Promise<PlannedStep[]> {
    return plan(this.#context);
  }

  /** Known problems of the store, the server and the connection, each with its remedy. Empty if there is none. */
  doctor(options?: DoctorOptions): Promise<Finding[]> {
    return doctor(this.#context, options);
  }

  /**
   * Moves a blocked subscription past the event that it stands at, unblocks it, and records who did so. The worker that
   * blocked it cannot set it back.
   *
   * @throws SkipError if it is not blocked, stands at another event, or moved meanwhile, or if its event was not found within
   * 30 s; nothing is changed.
   * @example await admin.skip({ stream: "mailer", event: 2, by: "ada", reason: "address was deleted" });
   */
  skip(options: SkipOptions): Promise<Skipped> {
    return skip(this.#context, options);
  }

  /** What was skipped, by whom and why, the newest first. A restore of the log, and reap, delete it with the subscription. */
  skipped(options?: SkippedOptions): Promise<Skipped[]> {
    return skipped(this.#context, options);
  }

  /** `store.unblock`, with progress: after each statement, the number of subscriptions changed so far. */
  unblock(input: StreamInput, options?: ProgressOptions): Promise<number> {
    return unblock(this.#context, input, options);
  }

  /** `store.reset`, with progress. */
  reset(input: StreamInput, options?: ProgressOptions): Promise<number> {
    return reset(this.#context, input, options);
  }

  /** `store.defer`, with progress. */
  defer(input: StreamInput, deferredAt: number, options?: ProgressOptions): Promise<number> {
    return defer(this.#context, input, deferredAt, options);
  }

  /** `store.prioritize`, with progress. */
  prioritize(
    filter: Exclude<StreamInput, string[]>,
    priority: number,
    options?: ProgressOptions,
  ): Promise<number> {
    return prioritize(this.#context, filter, priority, options);
  }

  /** Ends the lease of a worker that is gone. False if nobody, or somebody else than `holder`, holds one. */
  release(options: ReleaseOptions): Promise<boolean> {
    return release(this.#context, options);
  }

  /** Deletes subscriptions of closed streams that have handled everything, and correlators of registries that are gone. */
  reap(options?: ReapOptions): Promise<Reaped> {
    return reap(this.#context, options);
  }

  /**
   * The log as JSON lines, with ids, snapshots and personal data as they are stored.
   *
   * @throws ExportError that names the event, if the format cannot hold it.
   * @example await pipeline(admin.export(), createGzip(), createWriteStream("log.jsonl.gz"));
   */
  export(options?: ExportOptions): AsyncGenerator<string, void> {
    return exportEvents(this.#context, options);
  }

  /**
   * Brings an export back, all of it or nothing. Commits wait until it has ended.
   *
   * @throws ImportError that names the line, and nothing is imported.
   */
  import(source: AsyncIterable<string>, options?: ImportOptions): Promise<Imported> {
    return importEvents(this.#context, source, options);
  }

  /**
   * Moves the events of closed streams, or those before old snapshots, to a folder or an object store. Rows are deleted
   * only after the file was read back and found complete. A stream stays if a subscription is still to handle some
   * of its events.
   *
   * @example await admin.archive({ target: folder("/var/archive"), before: new Date("2025-01-01") });
   */
  archive(options: ArchiveOptions): Promise<Archived> {
    return archive(this.#context, options);
  }

  /**
   * Moves the store's tables to another store, on another server or schema, while processes work on them. Near its end,
   * calls to this store wait. Afterwards they are refused (a DatabaseError of class 42), and have to go to the target. No
   * commit is lost or stored twice. The old tables are kept in another schema.
   *
   * @param target A PostgresStore. `move` seeds it. It must be empty, unless `again` is set.
   * @throws MoveError or StoreError; then this store works on as before.
   * @example await new Admin(store).move(new PostgresStore({ database: two, schema: "tenant_acme" }));
   */
  async move(target: object, options?: MoveOptions): Promise<Moved> {
    return move(this.#context, contextOf(target), options);
  }

  /** One stream: head, snapshot, latest events, and who reads it. */
  stream(name: string, options?: StreamOptions): Promise<StreamView> {
    return stream(this.#context, name, options);
  }

  /** The tree of causes of a correlation. */
  trace(
    correlation: string,
    options?: { readonly limit?: number | undefined; readonly payload?: boolean | undefined },
  ): Promise<Trace> {
    return trace(this.#context, correlation, options);
  }
}
