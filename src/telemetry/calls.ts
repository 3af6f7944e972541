/** The calls of a store's verbs: a span and a point of db.client.operation.duration for each. */
import {
  type Attributes,
  context as contexts,
  type Histogram,
  type Context as OtelContext,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { Later, Recorded } from "./later.ts";

export type CallsOptions = {
  readonly tracer: Tracer;
  readonly duration: Histogram;
  readonly later: Later;
  /** Attributes of every span and point. */
  readonly common: Attributes;
  /** Follows the verb in the name of a span. */
  readonly table: string;
};

/** A low-cardinality name of what failed: the code of the cause, else the class. Never a message. */
function errorType(error: unknown): string {
  if (!(error instanceof Error)) return "_OTHER";
  const { cause } = error;
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : error.constructor.name;
}

const isSqlState = (code: string): boolean => /^[0-9A-Z]{5}$/.test(code);

/** Converts an instant of `performance.now()` to ms since the epoch, as spans take it. */
export const epoch = (instant: number): number => performance.timeOrigin + instant;

/**
 * A call that is running. Its span is made when it is first needed. A commit without pii keys and inline projections
 * needs it at its end, or earlier if its batch links to it. Every other call needs it at its start.
 */
export class Call implements Recorded {
  readonly #verb: Verb;
  readonly #start = performance.now();
  readonly #parent = contexts.active();
  #span: Span | undefined;
  #end = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(verb: Verb) {
    this.#verb = verb;
  }

  get span(): Span {
    this.#span ??= this.#verb.startSpan(this.#start, this.#parent);
    return this.#span;
  }

  get spanContext(): SpanContext {
    return this.span.spanContext();
  }

  /** The context in which the call runs, so that spans made in it are children of the call's. */
  get inside(): OtelContext {
    return trace.setSpan(this.#parent, this.span);
  }

  /** `failure`: the error, if there was one. */
  ended(failure?: { readonly error: unknown }): void {
    this.#end = performance.now();
    this.#failure = failure;
    this.#verb.later.do(this);
  }

  /** Called once, some time after {@link ended}. */
  record(): void {
    const failure = this.#failure && errorType(this.#failure.error);
    this.#verb.record((this.#end - this.#start) / 1_000, this.span, failure);
    this.span.end(epoch(this.#end));
  }
}

/** Sorted by name. The SDK would sort them for each data point. */
const inOrder = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).sort(([one], [other]) => (one < other ? -1 : 1)));

export class Verb {
  readonly later: Later;
  readonly #options: CallsOptions;
  readonly #name: string;
  readonly #attributes: Attributes;

  constructor(verb: string, options: CallsOptions) {
    this.later = options.later;
    this.#options = options;
    this.#name = `${verb} ${options.table}`;
    this.#attributes = inOrder({ ...options.common, "db.operation.name": verb });
  }

  startSpan(start: number, parent: OtelContext): Span {
    const options = { kind: SpanKind.CLIENT, attributes: this.#attributes, startTime: epoch(start) };
    return this.#options.tracer.startSpan(this.#name, options, parent);
  }

  record(seconds: number, span: Span, failure: string | undefined): void {
    const { duration } = this.#options;
    if (failure === undefined) {
      duration.record(seconds, this.#attributes);
      return;
    }
    duration.record(seconds, { ...this.#attributes, "error.type": failure });
    span.setAttribute("error.type", failure);
    if (isSqlState(failure)) span.setAttribute("db.response.status_code", failure);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
}
