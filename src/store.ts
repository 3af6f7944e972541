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
import type { Context } from "./context.ts";
import { type Append, appendFacts } from "./events/append.ts";
import { Appender } from "./events/appender.ts";
import { commit } from "./events/commit.ts";
import { forgetPii } from "./events/forget-pii.ts";
import { query } from "./events/query.ts";
import { queryStats } from "./events/query-stats.ts";
import { AppendQueue, type Stored } from "./events/queue.ts";
import { type RestoreDriver, restore } from "./events/restore.ts";
import { type TruncateTarget, truncate } from "./events/truncate.ts";
import { ddl } from "./migrations/ddl.ts";
import { drop } from "./migrations/drop.ts";
import { seed } from "./migrations/seed.ts";
import { type Handler, Notifier } from "./notifications/notify.ts";
import { Operations } from "./operations.ts";
import { type StoreConfig, withHiddenPassword } from "./options/config.ts";
import type { PostgresStoreOptions } from "./options/options.generated.ts";
import { resolveOptions } from "./options/resolve.ts";
import { Database } from "./postgres/index.ts";
import { eventReader } from "./schema/event-rows.ts";
import { loadTables } from "./schema/load-tables.ts";
import { namesOf } from "./schema/names.ts";
import type { ActTables } from "./schema/tables.ts";
import { ack } from "./subscriptions/ack.ts";
import { block } from "./subscriptions/block.ts";
import { claim } from "./subscriptions/claim.ts";
import { defer } from "./subscriptions/defer.ts";
import { prioritize } from "./subscriptions/prioritize.ts";
import { queryStreams } from "./subscriptions/query-streams.ts";
import { reset } from "./subscriptions/reset.ts";
import { type Correlator, subscribe } from "./subscriptions/subscribe.ts";
import { unblock } from "./subscriptions/unblock.ts";
import { PiiCipher } from "./values/pii-encryption.ts";

/** ms for which dispose() waits for running calls where statements have no limit. */
const DISPOSE_LIMIT = 65_000;

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
  readonly config: StoreConfig;
  /** Present only with `notify: true`: calls the handler for each commit of other processes. */
  // Declared only: a class field would be there, as undefined, in every store.
  declare readonly notify?: NonNullable<Store["notify"]>;

  #tables: ActTables | undefined;
  readonly #context: Context;
  readonly #appender: Appender;
  readonly #queue: AppendQueue;
  readonly #notifier: Notifier | undefined;
  readonly #operations = new Operations();
  #disposed: Promise<void> | undefined;

  constructor(options?: PostgresStoreOptions) {
    const resolved = resolveOptions(options);
    const { config, secrets } = resolved;
    this.config = withHiddenPassword(resolved);
    const names = namesOf(config.schema, config.table);
    const connections = new Database(resolved, appendFacts(names));
    const cipher = secrets.key && new PiiCipher(secrets.key);
    const by = randomUUID();
    this.#context = {
      names,
      connections,
      cipher,
      reader: eventReader(config.dates, cipher),
      by,
      notify: config.notify,
    };
    this.#appender = new Appender({ connections, names, by, announce: config.notify });
    this.#queue = new AppendQueue(connections, this.#appender);
    if (config.notify) {
      const notifier = new Notifier(this.#context);
      this.#notifier = notifier;
      this.notify = async (handler: Handler) => {
        this.#operations.assertOpen("notify");
        return notifier.start(handler);
      };
    }
  }

  /** The store's Drizzle tables, to query and join with your own. Drizzle is loaded when they are first asked for. */
  get tables(): ActTables {
    this.#tables ??= loadTables(this.config.schema, this.config.table);
    return this.#tables;
  }

  /** The SQL that creates a store's schema, tables and indexes, for running it by hand. */
  static ddl(
    options: { readonly schema?: string | undefined; readonly table?: string | undefined } = {},
  ): string {
    return ddl(namesOf(options.schema ?? "public", options.table ?? "events"));
  }

  seed = (): Promise<void> =>
    this.#run("seed", async () => {
      await seed(this.#context);
      this.#appender.warmUp();
    });

  drop = (): Promise<void> => this.#run("drop", () => drop(this.#context));

  /**
   * Stops listening, refuses new calls, carries out those that were made before, and closes every connection.
   * Idempotent. It waits for them as long as for an answer of the server: `statement_timeout` and 5 s. What takes
   * longer, as a query whose callback is slow, rejects with its next statement.
   */
  dispose = (): Promise<void> => {
    this.#operations.leave();
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  };

  async #dispose(): Promise<void> {
    const { connections } = this.#context;
    this.#queue.limitRecovery();
    await Promise.all([
      this.#notifier?.stop(),
      this.#operations.close(connections.deadline || DISPOSE_LIMIT),
    ]);
    await this.#queue.close();
    await connections.close();
  }

  commit = <E extends Schemas>(
    stream: string,
    msgs: Message<E, keyof E>[],
    meta: EventMeta,
    expectedVersion?: number,
  ): Promise<Committed<E, keyof E>[]> => {
    const work = () => commit(this.#context, this.#append, stream, msgs, meta, expectedVersion);
    // Only a key provider is the caller's code; without one a commit saves 2 µs.
    return this.#context.cipher ? this.#run("commit", work) : this.#operations.runAlone("commit", work);
  };

  query = <E extends Schemas>(
    callback: (event: Committed<E, keyof E>) => void,
    filter?: Query,
  ): Promise<number> => this.#run("query", () => query(this.#context, callback, filter));

  query_stats: Store["query_stats"] = <E extends Schemas>(
    input: string[] | Pick<StreamFilter, "stream" | "stream_exact">,
    options?: QueryStatsOptions<E>,
  ) => this.#run("query_stats", () => queryStats<E>(this.#context, input, options));

  truncate = (targets: TruncateTarget[]) => this.#run("truncate", () => truncate(this.#context, targets));

  restore = (driver: RestoreDriver): Promise<void> =>
    this.#run("restore", () => restore(this.#context, driver));

  forget_pii = (stream: string): Promise<number> =>
    this.#run("forget_pii", () => forgetPii(this.#context, stream));

  subscribe = (streams: SubscribeInput[], correlated_at?: number, correlator?: Correlator) =>
    this.#run("subscribe", () => subscribe(this.#context, streams, correlated_at, correlator));

  claim = (lagging: number, leading: number, by: string, millis: number, lane?: string): Promise<Lease[]> =>
    this.#run("claim", () => claim(this.#context, lagging, leading, by, millis, lane));

  ack = (leases: Lease[]): Promise<Lease[]> => this.#run("ack", () => ack(this.#context, leases));

  block = (leases: BlockedLease[]): Promise<BlockedLease[]> =>
    this.#run("block", () => block(this.#context, leases));

  defer = (input: string[] | StreamFilter, deferred_at: number) =>
    this.#run("defer", () => defer(this.#context, input, deferred_at));

  reset = (input: string[] | StreamFilter): Promise<number> =>
    this.#run("reset", () => reset(this.#context, input));

  unblock = (input: string[] | StreamFilter): Promise<number> =>
    this.#run("unblock", () => unblock(this.#context, input));

  prioritize = (filter: StreamFilter, priority: number) =>
    this.#run("prioritize", () => prioritize(this.#context, filter, priority));

  query_streams = (callback: (position: StreamPosition) => void, filter?: QueryStreams) =>
    this.#run("query_streams", () => queryStreams(this.#context, callback, filter));

  #run<T>(verb: string, work: () => Promise<T>): Promise<T> {
    return this.#operations.run(verb, work);
  }

  readonly #append = (append: Append): Promise<Stored> => {
    const appended = this.#queue.push(append);
    this.#notifier?.track(appended);
    return appended;
  };

  toJSON(): { config: StoreConfig } {
    return { config: this.config };
  }

  [inspect.custom](): string {
    return `PostgresStore ${inspect(this.config)}`;
  }
}
