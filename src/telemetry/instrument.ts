/**
 * instrument(): metrics and traces of a store, by OpenTelemetry.
 *
 * The store's methods are properties of its own, so they are wrapped from outside: a store that is not instrumented
 * runs the same code as before. What happens inside is reported by its signals.
 */
import { type Attributes, type MeterProvider, metrics, type TracerProvider, trace } from "@opentelemetry/api";
import { type Context, contextOf } from "../context.ts";
import type { Observer } from "../signals.ts";
import { isRecord } from "../values/json-dates.ts";
import { checkOptionsOf, millis, type Rule, type Rules } from "../values/rules.ts";
import { traceBatch } from "./batches.ts";
import type { Call } from "./calls.ts";
import { Later } from "./later.ts";
import { COMMITS, METRICS, SECONDS } from "./metrics.ts";
import { observeProcess, observeWork } from "./observe.ts";
import { watchVerbs } from "./verbs.ts";

/** Where to record, and how often to query the database. */
export type TelemetryOptions = {
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined;
  /** Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined;
  /**
   * Least time in ms between two queries of lag, blocked work and the append lock, when metrics are collected. Default
   * 15,000. 0: never. One process of many is enough for these.
   */
  readonly pollMs?: number | undefined;
};

const provider = (method: string): Rule => ({
  takes: `an object with ${method}()`,
  test: (value) => isRecord(value) && typeof value[method] === "function",
});
const RULES: Rules<TelemetryOptions> = {
  meterProvider: provider("getMeter"),
  tracerProvider: provider("getTracer"),
  pollMs: millis(0),
};

const SCOPE = "act-drizzle";
const POLL_MS = 15_000;
/** The semantic conventions name the port only if it is not this one. */
const DEFAULT_PORT = 5_432;

function attributesOf(store: object, { names }: Context): Attributes {
  const config: unknown = Reflect.get(store, "config");
  const of = (name: string): unknown =>
    typeof config === "object" && config !== null ? Reflect.get(config, name) : undefined;
  const [host, port, database] = [of("host"), of("port"), of("database")];
  return {
    "db.system.name": "postgresql",
    "db.collection.name": `${names.schema}.${names.table}`,
    ...(typeof database === "string" && { "db.namespace": database }),
    ...(typeof host === "string" && { "server.address": host }),
    ...(typeof port === "number" && port !== DEFAULT_PORT && { "server.port": port }),
  };
}

/**
 * Records metrics and traces of a store until the returned function is called. Labels name the server, replica,
 * database and table, the verb and lane, the state of a connection, the outcome and the kind of error; never a payload,
 * a stream or a message.
 *
 * @param store A PostgresStore. One instrumentation at a time.
 * @throws TypeError if `store` is not a PostgresStore, is instrumented already, or if an option is wrong.
 * @example
 * ```ts
 * import { instrument } from "act-drizzle/telemetry";
 * const stop = instrument(store);
 * ```
 */
export function instrument(store: object, options: TelemetryOptions = {}): () => void {
  const context = contextOf(store);
  checkOptionsOf("instrument", options, RULES);
  const { signals } = context;
  if (signals.observer)
    throw new TypeError("act-drizzle: this store is instrumented already. End that one first.");
  const meter = (options.meterProvider ?? metrics.getMeterProvider()).getMeter(SCOPE);
  const tracer = (options.tracerProvider ?? trace.getTracerProvider()).getTracer(SCOPE);
  const common = attributesOf(store, context);
  const histogram = (metric: { name: string; unit: string; description: string }, boundaries: number[]) =>
    meter.createHistogram(metric.name, { ...metric, advice: { explicitBucketBoundaries: boundaries } });
  const duration = histogram(METRICS.duration, SECONDS);
  const batchCommits = histogram(METRICS.batchCommits, COMMITS);
  const batchDuration = histogram(METRICS.batchDuration, SECONDS);
  const commitWait = histogram(METRICS.commitWait, SECONDS);
  const inDoubt = meter.createCounter(METRICS.inDoubt.name, METRICS.inDoubt);
  const reconnects = meter.createCounter(METRICS.reconnects.name, METRICS.reconnects);
  const leasesLost = meter.createCounter(METRICS.leasesLost.name, METRICS.leasesLost);

  const later = new Later();
  const calls = { tracer, duration, later, common, table: context.names.table };
  /** The commit whose verb is being called: it is queued before that call returns. */
  let calling: Call | undefined;

  const observer: Observer = {
    queued: () => calling ?? trace.getActiveSpan(),
    batch: (batch) => {
      const end = performance.now();
      later.do({
        record: () => {
          batchCommits.record(batch.commits, common);
          batchDuration.record(batch.millis / 1_000, common);
          commitWait.record(Math.max(0, batch.waitedMs) / 1_000, common);
          traceBatch(calls, batch, end);
        },
      });
    },
    inDoubt: (outcomes) => {
      for (const [outcome, count] of Object.entries(outcomes))
        if (count > 0) inDoubt.add(count, { ...common, outcome });
    },
    listenerReconnected: () => reconnects.add(1, common),
  };
  signals.observer = observer;

  const ends = [
    watchVerbs(store, context, {
      calls,
      calling: (call) => {
        calling = call;
      },
      leasesLost: (count) => {
        if (count > 0) leasesLost.add(count, common);
      },
    }),
    observeProcess(meter, context, common, () => later.flush()),
  ];
  const { pollMs = POLL_MS } = options;
  if (pollMs > 0) ends.push(observeWork(meter, context, common, pollMs));
  return () => {
    for (const end of ends) end();
    later.flush();
    if (signals.observer === observer) signals.observer = undefined;
  };
}
