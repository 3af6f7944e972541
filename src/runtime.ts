/** Builds the parts of a store, and ends them in order. */
import { randomUUID } from "node:crypto";
import { StoreError } from "@rotorsoft/act";
import type { Context } from "./context.ts";
import { correlatorsOf } from "./correlators.ts";
import { type Append, appendFacts, appendFactsQuery } from "./events/append.ts";
import { Appender } from "./events/appender.ts";
import { AppendQueue, type Decided } from "./events/queue.ts";
import { Notifier } from "./notifications/notify.ts";
import { Operations } from "./operations.ts";
import { type ResolvedOptions, type StoreConfig, withHiddenPassword } from "./options/config.ts";
import { isPassive } from "./options/passive.ts";
import { poolsOf, type SharedPools, StoreConnections } from "./postgres/index.ts";
import { eventReader } from "./schema/event-rows.ts";
import { namesOf } from "./schema/names.ts";
import { replicaTexts } from "./schema/replica-texts.ts";
import { noSignals } from "./signals.ts";
import { releaseLeases } from "./subscriptions/correlator-leases.ts";
import { PiiKeys } from "./values/pii-keys.ts";

/** ms for which dispose() waits for running calls if statements have no time limit. */
const DISPOSE_LIMIT = 65_000;
/** Verbs by which an app begins, and correlates. If one fails, the app may not try again by itself. */
const CORRELATING = new Set(["subscribe", "query", "query_streams"]);

export class Runtime {
  readonly config: StoreConfig;
  readonly context: Context;
  /** Only with `notify: true`. */
  readonly notifier: Notifier | undefined;
  readonly operations: Operations;
  readonly #appender: Appender;
  readonly #queue: AppendQueue;
  readonly #shared: SharedPools | undefined;
  /** Names the log among all logs that this process uses. */
  readonly #log: string;
  #disposed: Promise<void> | undefined;

  constructor(resolved: ResolvedOptions) {
    const { config, secrets } = resolved;
    this.#shared = resolved.shared && poolsOf(resolved.shared);
    const names = namesOf(config.schema, config.table);
    const log = JSON.stringify([config.host, config.port, config.database, names.lockKey]);
    this.#log = log;
    // The connections for commits count as one, also where stores that share connections have several.
    this.operations = new Operations(this.#shared ? this.#shared.readers + 1 : config.max, log);
    this.config = withHiddenPassword(resolved);
    const share = this.#shared && { pools: this.#shared, facts: appendFactsQuery(names) };
    const texts = resolved.replicas.length > 0 ? replicaTexts(names) : undefined;
    const connections = new StoreConnections(resolved, appendFacts(names), share, texts);
    const piiKeys = secrets.pii && new PiiKeys(secrets.pii);
    const by = randomUUID();
    const reader = eventReader(config.dates, piiKeys);
    const { notify, pollIntervalMillis } = config;
    const { inline } = secrets;
    const signals = noSignals();
    const { operations } = this;
    this.context = {
      ...{ names, connections, piiKeys, inline, reader, by, notify, pollIntervalMillis, signals },
      exclusive: (verb, work) => operations.run(verb, work),
      projecting: () => connections.projecting(log, operations.projecting()),
      lanesWithDue: new Set(),
    };
    this.#appender = new Appender({ connections, names, by, announce: config.notify, inline });
    this.#queue = new AppendQueue(connections, this.#appender, signals);
    signals.commitsWaiting = () => this.#queue.waiting;
    this.notifier = config.notify && !isPassive() ? new Notifier(this.context) : undefined;
    this.#shared?.add(this);
  }

  /** Opens the connection for appends before the first commit needs it. */
  warmUp(): void {
    this.#appender.warmUp();
  }

  run<T>(verb: string, work: (context: Context) => Promise<T>): Promise<T> {
    const running = this.operations.run(verb, () => work(this.context));
    if (this.notifier && CORRELATING.has(verb))
      running.catch((error: unknown) => {
        if (error instanceof StoreError) correlatorsOf(this.context).noteFailure();
      });
    return running;
  }

  /**
   * A commit runs the user's code, which may call other verbs, only in a key provider or an inline projection. Without them
   * the commit is queued synchronously, and only the queue keeps track of it. That saves 2 µs.
   */
  runCommit<T>(work: () => Promise<T>): Promise<T> {
    const { piiKeys, inline } = this.context;
    if (piiKeys || inline) return this.operations.run("commit", work);
    try {
      this.operations.assertMayRun("commit");
    } catch (error) {
      return Promise.reject(error);
    }
    return work();
  }

  readonly append = (append: Append): Promise<Decided> => {
    const appended = this.context.connections.committing(this.#log, () => this.#queue.push(append));
    this.notifier?.track(appended);
    return appended;
  };

  assertCanEnd(): void {
    this.operations.assertCanEnd("dispose");
  }

  async dispose(): Promise<void> {
    this.assertCanEnd();
    this.operations.leave();
    this.#disposed ??= this.#dispose();
    await this.#disposed;
  }

  async #dispose(): Promise<void> {
    const { connections } = this.context;
    this.#queue.limitRecovery();
    const limit = connections.deadline || DISPOSE_LIMIT;
    const end = performance.now() + limit;
    await Promise.all([this.notifier?.stop(), this.operations.close(limit)]);
    await Promise.all([this.#queue.close(), releaseLeases(this.context)]);
    await connections.close(end);
    this.#shared?.stores.delete(this);
  }
}
