/**
 * inline(): projections that are part of the commit. Drizzle's statements run on the connection of the append, so that no
 * second connection, and no transaction of another driver, is involved.
 */
import type { Committed, Schemas } from "@rotorsoft/act";
import {
  DrizzleQueryError,
  type ExtractTablesWithRelations,
  is,
  QueryPromise,
  TransactionRollbackError,
} from "drizzle-orm";
import type { PgTransaction } from "drizzle-orm/pg-core";
import { drizzle, type PgRemoteDatabase, type PgRemoteQueryResultHKT } from "drizzle-orm/pg-proxy";
import type * as z from "zod";
import {
  INLINE,
  type InlineHandler,
  type InlineProjections,
  type InlineQuery,
  type SendInline,
} from "../options/inline.ts";
import { isRecord } from "../values/json-dates.ts";
import { ANY, oneOf, type Rules } from "../values/rules.ts";
import { badInput, checkInput } from "./errors.ts";

/** ms after which a handler is cancelled, by default. */
const DEFAULT_TIMEOUT = 2_000;

type Shapes = Readonly<Record<string, z.ZodType>>;
type Tables = Record<string, unknown>;

/** The transaction of the commit. `tx.transaction` is a savepoint. */
export type InlineTransaction<Schema extends Tables = Record<string, never>> = PgTransaction<
  PgRemoteQueryResultHKT,
  Schema,
  ExtractTablesWithRelations<Schema>
>;

/** An event of a commit, typed by its name. */
export type InlineEventOf<Events extends Shapes, Name extends keyof Events> = Omit<
  Committed<Schemas, string>,
  "name" | "data"
> & { readonly name: Name; readonly data: z.infer<Events[Name]> };

/** A handler. It may return its last query without awaiting it: that query is sent together with COMMIT. */
export type InlineHandle<Event, Schema extends Tables> = (
  events: readonly Event[],
  tx: InlineTransaction<Schema>,
) => unknown;

/** A handler with options of its own. */
export type InlineHandlerOptions<Event, Schema extends Tables> = {
  /** ms after which the handler is cancelled. Default: the `timeout` of {@link InlineOptions}. */
  readonly timeout?: number | undefined;
} & (
  | {
      /** Gets the events of this name of one commit, in order. */
      readonly each: InlineHandle<Event, Schema>;
      readonly batch?: undefined;
    }
  | {
      /** Gets the events of this name of all commits of a batch, in the order of the log. */
      readonly batch: InlineHandle<Event, Schema>;
      readonly each?: undefined;
    }
);

/** The events that are projected in the commit, and their handlers. */
export type InlineOptions<Events extends Shapes, Schema extends Tables> = {
  /** The zod schemas of the events, as in `.on({ Deposited })`. */
  readonly events: Events;
  /** By name of the event: a function that gets the events of one commit, or `{ each | batch, timeout }`. */
  readonly on: {
    readonly [Name in keyof Events]?:
      | InlineHandle<InlineEventOf<Events, Name>, Schema>
      | InlineHandlerOptions<InlineEventOf<Events, Name>, Schema>
      | undefined;
  };
  /** ms after which a handler is cancelled, 1 to 60,000. Default 2,000. */
  readonly timeout?: number | undefined;
  /** Your Drizzle schema, for `tx.query`. */
  readonly schema?: Schema | undefined;
  /** As in `drizzle()`. */
  readonly casing?: "snake_case" | "camelCase" | undefined;
};

const RULES: Rules<InlineOptions<Shapes, Tables>> = {
  events: ANY,
  on: ANY,
  timeout: ANY,
  schema: ANY,
  casing: oneOf("snake_case", "camelCase"),
};
const HANDLER_RULES: Rules<InlineHandlerOptions<unknown, Tables>> = { each: ANY, batch: ANY, timeout: ANY };

const isTimeout = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 60_000;

function checkTimeout(value: unknown, at: string, fallback: number): number {
  if (value === undefined) return fallback;
  if (!isTimeout(value)) throw badInput(`inline: ${at} must be a whole number of ms from 1 to 60000.`);
  return value;
}

function handlerOf(name: string, given: unknown, timeout: number): InlineHandler {
  const at = `on.${name}`;
  const options: unknown = typeof given === "function" ? { each: given } : given;
  if (!isRecord(options))
    throw badInput(
      `inline: ${at} must be a function, or { each } or { batch } with a function, not ${given === null ? "null" : typeof given}.`,
    );
  checkInput(`inline: ${at}`, options, HANDLER_RULES);
  const { each, batch } = options;
  const run = each ?? batch;
  if (typeof run !== "function" || (each !== undefined && batch !== undefined))
    throw badInput(`inline: ${at} must have one function, as each or as batch.`);
  return {
    name,
    batch: batch !== undefined,
    timeout: checkTimeout(options.timeout, `${at}.timeout`, timeout),
    run: (events, tx) => run(events, tx),
  };
}

function handlersOf(options: unknown): Map<string, InlineHandler> {
  if (!isRecord(options) || !isRecord(options.on) || !isRecord(options.events))
    throw badInput(
      "inline: give the events' schemas and their handlers: inline({ events: { Deposited }, on: { Deposited: (events, tx) => … } }).",
    );
  checkInput("inline", options, RULES);
  const { on, events } = options;
  const timeout = checkTimeout(options.timeout, "timeout", DEFAULT_TIMEOUT);
  const handlers = new Map<string, InlineHandler>();
  for (const [name, given] of Object.entries(on)) {
    if (given === undefined) continue;
    if (!Object.hasOwn(events, name))
      throw badInput(
        `inline: on.${name} is for an event that is not in events: add its schema, or correct the name.`,
      );
    handlers.set(name, handlerOf(name, given, timeout));
  }
  if (handlers.size === 0)
    throw badInput("inline: on has no handler: add one, or leave the option inline out.");
  return handlers;
}

/** What `tx.rollback()` of Drizzle does: it ends the transaction by an error of Drizzle's own. */
function rollback(): never {
  throw new TransactionRollbackError();
}

/** `db` as a transaction, in which nested ones are savepoints. Its driver, Drizzle's pg-proxy, has no transactions. */
function withSavepoints<Db extends object>(db: Db, send: SendInline, depth: number): Db {
  const say = (text: string) => send({ text, params: [], arrays: true });
  return Object.assign(Object.create(db), {
    rollback,
    transaction: async (work: (tx: Db) => Promise<unknown>) => {
      const name = `act_inline_${depth}`;
      await say(`savepoint ${name}`);
      try {
        const result = await work(withSavepoints(db, send, depth + 1));
        await say(`release savepoint ${name}`);
        return result;
      } catch (error) {
        await say(`rollback to savepoint ${name}`);
        throw error;
      }
    },
  });
}

function open<Schema extends Tables>(
  send: SendInline,
  { schema, casing }: Pick<InlineOptions<Shapes, Schema>, "schema" | "casing">,
): PgRemoteDatabase<Schema> {
  const config = { ...(schema && { schema }), ...(casing && { casing }) };
  const db = drizzle<Schema>(
    async (text, params, method) => ({ rows: [...(await send({ text, params, arrays: method === "all" }))] }),
    config,
  );
  return withSavepoints(db, send, 1);
}

/** The statement of a query that was built and not run; undefined for other values. */
function toQuery(returned: unknown): InlineQuery | undefined {
  if (!is(returned, QueryPromise)) return undefined;
  const toSQL: unknown = Reflect.get(returned, "toSQL");
  const built: unknown = typeof toSQL === "function" ? toSQL.call(returned) : undefined;
  if (!isRecord(built) || typeof built.sql !== "string" || !Array.isArray(built.params)) return undefined;
  return { text: built.sql, params: built.params, arrays: true };
}

const causeOf = (error: unknown): unknown =>
  error instanceof DrizzleQueryError ? (error.cause ?? new Error("the query failed")) : error;

/**
 * Inline projections, for the option `inline` of `PostgresStore`: each handler runs in the transaction of the commit,
 * after its events were inserted. A read model is never behind the log, and a handler that throws refuses the commit.
 *
 * The handlers hold the log's append lock: every other commit waits. So let a handler run one or two short statements, and
 * wait for nothing else.
 *
 * @throws ProjectionError if an option is invalid.
 * @example
 * ```ts
 * const store = new PostgresStore({
 *   url,
 *   inline: inline({
 *     events: { Deposited },
 *     on: {
 *       // All events of one commit are of one stream.
 *       Deposited: (events, tx) => {
 *         const total = events.reduce((sum, { data }) => sum + data.amount, 0);
 *         const account = eq(accounts.id, events[0]?.stream ?? "");
 *         return tx.update(accounts).set({ balance: sql`balance + ${total}` }).where(account);
 *       },
 *     },
 *   }),
 * });
 * ```
 */
export function inline<const Events extends Shapes, Schema extends Tables = Record<string, never>>(
  options: InlineOptions<Events, Schema>,
): InlineProjections {
  const handlers = handlersOf(options);
  const { schema, casing } = options;
  return { [INLINE]: true, handlers, open: (send) => open(send, { schema, casing }), toQuery, causeOf };
}
