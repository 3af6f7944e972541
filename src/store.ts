/** PostgresStore: the Store port of @rotorsoft/act, one line per verb. Each verb is a file of its own. */
import { randomUUID } from "node:crypto";
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
  Schemas,
  Store,
  StreamFilter,
  StreamPosition,
  SubscribeInput,
} from "@rotorsoft/act";
import { PiiCipher } from "./codec/encryption.ts";
import { type Config, type PostgresStoreOptions, resolveConfig } from "./config.ts";
import { Connections } from "./connections/index.ts";
import type { Context } from "./context.ts";
import { type Append, appendStatements } from "./events/append.ts";
import { commit } from "./events/commit.ts";
import { forgetPii } from "./events/forget.ts";
import { type Handler, Notifier } from "./events/notify.ts";
import { query } from "./events/query.ts";
import { AppendQueue, type Landed } from "./events/queue.ts";
import { type RestoreDriver, restore } from "./events/restore.ts";
import { eventReader } from "./events/row.ts";
import { queryStats } from "./events/stats.ts";
import { type TruncateTarget, truncate } from "./events/truncate.ts";
import { ddl } from "./migrations/ddl.ts";
import { drop } from "./migrations/drop.ts";
import { seed } from "./migrations/seed.ts";
import { namesOf } from "./names.ts";
import type { ActTables } from "./schema.ts";
import { ack } from "./streams/ack.ts";
import { block } from "./streams/block.ts";
import { claim } from "./streams/claim.ts";
import { defer } from "./streams/defer.ts";
import { queryStreams } from "./streams/positions.ts";
import { prioritize } from "./streams/prioritize.ts";
import { reset } from "./streams/reset.ts";
import { type Correlator, subscribe } from "./streams/subscribe.ts";
import { unblock } from "./streams/unblock.ts";
import { drizzleTables } from "./tables.ts";

/**
 * Event store on PostgreSQL 14 or newer.
 *
 * Constructing it checks the options and opens no connection. Call `seed()` once per process before use, and
 * `dispose()` at the end. Every failure of the database is a `StoreError` whose `cause` says what to do.
 *
 * @example
 * ```ts
 * store(new PostgresStore({ url: process.env.DATABASE_URL }));
 * await store().seed();
 * ```
 */
export class PostgresStore implements Store {
  /** The options with every default applied. The password does not print. */
  readonly config: Config;
  /** Present only with `notify: true`: calls the handler for each commit of other processes. */
  // Declared only: a class field would be there, as undefined, in every store.
  declare readonly notify?: NonNullable<Store["notify"]>;

  #tables: ActTables | undefined;
  readonly #context: Context;
  readonly #queue: AppendQueue;
  readonly #notifier: Notifier | undefined;
  #disposed: Promise<void> | undefined;

  constructor(options?: PostgresStoreOptions) {
    const { listen, key, config } = split(resolveConfig(options));
    this.config = config;
    const names = namesOf(config.schema, config.table);
    const connections = new Connections(config, listen);
    const cipher = key ? new PiiCipher(key) : undefined;
    const by = randomUUID();
    this.#context = {
      names,
      connections,
      cipher,
      reader: eventReader(config.dates, cipher),
      by,
      notify: config.notify,
    };
    const statements = appendStatements(names, config.notify ? by : undefined);
    connections.writer.warmWith(statements.warm);
    this.#queue = new AppendQueue(connections, names, statements);
    if (config.notify) {
      const notifier = new Notifier(this.#context);
      this.#notifier = notifier;
      this.notify = (handler: Handler) => notifier.start(handler);
    }
  }

  /** The store's Drizzle tables, to query and join with your own. Drizzle is loaded when they are first asked for. */
  get tables(): ActTables {
    this.#tables ??= drizzleTables(this.config.schema, this.config.table);
    return this.#tables;
  }

  /** The SQL that creates a store's schema, tables and indexes, for running it by hand. */
  static ddl(options: { readonly schema?: string; readonly table?: string } = {}): string {
    return ddl(namesOf(options.schema ?? "public", options.table ?? "events"));
  }

  seed = (): Promise<void> => seed(this.#context);

  drop = (): Promise<void> => drop(this.#context);

  /** Stops listening, lets running work and queued commits finish, closes every connection. Idempotent. */
  dispose = (): Promise<void> => {
    this.#disposed ??= (async () => {
      await Promise.all([this.#context.connections.refuse(), this.#queue.close()]);
      await this.#context.connections.close();
    })();
    return this.#disposed;
  };

  commit = <E extends Schemas>(
    stream: string,
    msgs: Message<E, keyof E>[],
    meta: EventMeta,
    expectedVersion?: number,
  ): Promise<Committed<E, keyof E>[]> =>
    commit(this.#context, this.#append, stream, msgs, meta, expectedVersion);

  readonly #append = (append: Append): Promise<Landed> => {
    const appended = this.#queue.push(append);
    this.#notifier?.track(appended);
    return appended;
  };

  query = <E extends Schemas>(
    callback: (event: Committed<E, keyof E>) => void,
    filter?: Query,
  ): Promise<number> => query(this.#context, callback, filter);

  query_stats: Store["query_stats"] = <E extends Schemas>(
    input: string[] | Pick<StreamFilter, "stream" | "stream_exact">,
    options?: QueryStatsOptions<E>,
  ) => queryStats<E>(this.#context, input, options);

  truncate = (targets: TruncateTarget[]) => truncate(this.#context, targets);

  restore = (driver: RestoreDriver): Promise<void> => restore(this.#context, driver);

  forget_pii = (stream: string): Promise<number> => forgetPii(this.#context, stream);

  subscribe = (streams: SubscribeInput[], correlated_at?: number, correlator?: Correlator) =>
    subscribe(this.#context, streams, correlated_at, correlator);

  claim = (lagging: number, leading: number, by: string, millis: number, lane?: string): Promise<Lease[]> =>
    claim(this.#context, lagging, leading, by, millis, lane);

  ack = (leases: Lease[]): Promise<Lease[]> => ack(this.#context, leases);

  block = (leases: BlockedLease[]): Promise<BlockedLease[]> => block(this.#context, leases);

  defer = (input: string[] | StreamFilter, deferred_at: number) => defer(this.#context, input, deferred_at);

  reset = (input: string[] | StreamFilter): Promise<number> => reset(this.#context, input);

  unblock = (input: string[] | StreamFilter): Promise<number> => unblock(this.#context, input);

  prioritize = (filter: StreamFilter, priority: number) => prioritize(this.#context, filter, priority);

  query_streams = (callback: (position: StreamPosition) => void, filter?: QueryStreams) =>
    queryStreams(this.#context, callback, filter);

  toJSON(): { config: Config } {
    return { config: this.config };
  }

  [inspect.custom](): string {
    return `PostgresStore ${inspect(this.config)}`;
  }
}

/** The config as it is shown, and what it carries along without showing it. */
function split(resolved: ReturnType<typeof resolveConfig>) {
  return { config: resolved as Config, listen: resolved.listen, key: resolved.key };
}
