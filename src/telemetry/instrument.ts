/**
 * instrument(): metrics and traces of a store, by OpenTelemetry.
 *
 * The store's methods are properties of its own, so they are wrapped from outside: a store that is not instrumented
 * runs the same code as before. What happens inside it comes by its signals.
 */
import {
  type Attributes,
  context as contexts,
  type Link,
  type MeterProvider,
  metrics,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { type Context, contextOf } from "../context.ts";
import type { Observer } from "../signals.ts";
import { COMMITS, METRICS, SECONDS } from "./metrics.ts";
import { observePool, observeWork } from "./observe.ts";

export type TelemetryOptions = {
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined;
  /** Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined;
  /**
   * ms between two looks at lag, blocked work and the append lock, when metrics are collected. Default 15,000. 0: never,
   * as it suits all processes but one.
   */
  readonly pollMs?: number | undefined;
};

const VERBS = [
  ...["seed", "commit", "query", "query_stats", "truncate", "restore", "forget_pii", "subscribe", "claim"],
  ...["ack", "block", "defer", "reset", "unblock", "prioritize", "query_streams"],
];
const SCOPE = "act-drizzle";
const POLL_MS = 15_000;
const MOST_LINKS = 128;

/** A low-cardinality name of what failed: the code of the cause, else the class. Never a message. */
function errorType(error: unknown): string {
  if (!(error instanceof Error)) return "_OTHER";
  const { cause } = error;
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : error.constructor.name;
}

const isSqlState = (code: string): boolean => /^[0-9A-Z]{5}$/.test(code);

/** Leases that an ack should have given back at once: those with `due` are never returned. */
function asked(leases: unknown): number {
  if (!Array.isArray(leases)) return 0;
  const keys = leases.flatMap((lease: { stream?: unknown; due?: unknown }) =>
    lease?.due == null ? [lease?.stream] : [],
  );
  return new Set(keys).size;
}

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
    ...(typeof port === "number" && { "server.port": port }),
  };
}

/**
 * Records metrics and traces of a store until the returned function is called. Labels are the verb, the lane and the
 * kind of error; no payload, no name of a stream, no message.
 *
 * @param store A PostgresStore. One instrumentation at a time.
 * @throws TypeError if it is none.
 * @example
 * ```ts
 * import { instrument } from "act-drizzle/telemetry";
 * const stop = instrument(store);
 * ```
 */
export function instrument(store: object, options: TelemetryOptions = {}): () => void {
  const context = contextOf(store);
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

  const observer: Observer = {
    queued: () => trace.getActiveSpan()?.spanContext(),
    batch: ({ commits, events, waitedMs, millis, queued, failed }) => {
      batchCommits.record(commits, common);
      batchDuration.record(millis / 1_000, common);
      commitWait.record(Math.max(0, waitedMs) / 1_000, common);
      const links = linksOf(queued);
      if (links.length === 0) return;
      const end = Date.now();
      const span = tracer.startSpan(
        `append ${context.names.table}`,
        {
          kind: SpanKind.CLIENT,
          startTime: end - millis,
          links,
          attributes: {
            ...common,
            "db.operation.name": "append",
            "db.operation.batch.size": commits,
            "act_drizzle.batch.events": events,
          },
        },
        // It belongs to all of its commits, so it is nobody's child.
        contexts.active(),
      );
      if (failed) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end(end);
    },
    inDoubt: (outcomes) => {
      for (const [outcome, count] of Object.entries(outcomes))
        if (count > 0) inDoubt.add(count, { ...common, outcome });
    },
    listenerReconnected: () => reconnects.add(1, common),
  };
  signals.observer = observer;

  const restores = VERBS.flatMap((verb) => {
    const original: unknown = Reflect.get(store, verb);
    if (typeof original !== "function") return [];
    const attributes = { ...common, "db.operation.name": verb };
    const name = `${verb} ${context.names.table}`;
    const settle = (span: Span, start: number, error?: unknown) => {
      const failure = error === undefined ? undefined : errorType(error);
      const seconds = (performance.now() - start) / 1_000;
      if (failure === undefined) duration.record(seconds, attributes);
      else {
        duration.record(seconds, { ...attributes, "error.type": failure });
        span.setAttribute("error.type", failure);
        if (isSqlState(failure)) span.setAttribute("db.response.status_code", failure);
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
    };
    const wrapped = async (...args: unknown[]): Promise<unknown> => {
      const start = performance.now();
      const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes });
      try {
        const result: unknown = await contexts.with(trace.setSpan(contexts.active(), span), () =>
          Reflect.apply(original, store, args),
        );
        if (verb === "ack" && Array.isArray(result)) {
          const lost = asked(args[0]) - result.length;
          if (lost > 0) leasesLost.add(lost, common);
        }
        settle(span, start);
        return result;
      } catch (error) {
        settle(span, start, error ?? "undefined was thrown");
        throw error;
      }
    };
    Reflect.set(store, verb, wrapped);
    return [() => Reflect.get(store, verb) === wrapped && Reflect.set(store, verb, original)];
  });

  const ends = [observePool(meter, context, common)];
  const { pollMs = POLL_MS } = options;
  if (pollMs > 0) ends.push(observeWork(meter, context, common, pollMs));
  return () => {
    for (const restore of restores) restore();
    for (const end of ends) end();
    if (signals.observer === observer) signals.observer = undefined;
  };
}

const isSpanContext = (value: unknown): value is SpanContext =>
  typeof value === "object" && value !== null && "traceFlags" in value;

/** To the commits that are recorded: a batch of unsampled ones needs no span of its own. */
function linksOf(queued: readonly unknown[]): Link[] {
  const links: Link[] = [];
  for (const one of queued)
    if (links.length < MOST_LINKS && isSpanContext(one) && (one.traceFlags & 1) === 1)
      links.push({ context: one });
  return links;
}
