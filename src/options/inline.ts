/** The value of the option `inline`. inline() of act-drizzle/projections makes it, so that only that entry loads Drizzle. */
import type { Committed, Schemas } from "@rotorsoft/act";
import { isRecord } from "../values/json-dates.ts";

/** Global, because each entry of the package is bundled by itself. */
export const INLINE = Symbol.for("act-drizzle.inline");

/** An event as `commit()` returns it. */
export type InlineEvent = Pick<
  Committed<Schemas, string>,
  "id" | "stream" | "version" | "created" | "meta"
> & {
  readonly name: PropertyKey;
  readonly data: unknown;
  readonly pii?: unknown;
};

/** A statement of a handler, with its parameters as Drizzle has encoded them. */
export type InlineQuery = {
  readonly text: string;
  readonly params: readonly unknown[];
  /** True if rows are wanted as arrays, false if as objects. */
  readonly arrays: boolean;
};

/** Sends a statement on the connection of the commit that is being projected. Resolves to its rows. */
export type SendInline = (query: InlineQuery) => Promise<readonly unknown[]>;

export type InlineHandler = {
  /** Name of the events that it handles. */
  readonly name: string;
  /** True if it takes the events of all commits of a batch at once. */
  readonly batch: boolean;
  /** Longest run, in ms. */
  readonly timeout: number;
  run(events: readonly InlineEvent[], tx: unknown): unknown;
};

/** A piece of running code, such as a handler. What `run` calls belongs to it until `end()`. */
export type Scope = { run<T>(work: () => T): T; end(): void };

/** Handlers for the option `inline`, as `inline()` of `act-drizzle/projections` makes them. */
export type InlineProjections = {
  readonly [INLINE]: true;
  readonly handlers: ReadonlyMap<string, InlineHandler>;
  /** A Drizzle transaction whose statements go through `send`. */
  open(send: SendInline): unknown;
  /** The statement of a query that a handler has returned without waiting for it; undefined for anything else. */
  toQuery(returned: unknown): InlineQuery | undefined;
  /** The cause of a Drizzle error, whose own message holds the parameters. Other errors are returned unchanged. */
  causeOf(error: unknown): unknown;
};

export const isInline = (value: unknown): value is InlineProjections =>
  isRecord(value) && Reflect.get(value, INLINE) === true;
