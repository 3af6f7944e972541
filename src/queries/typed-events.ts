/** Typed reads of the log: a payload's type comes from the zod schema that the app emits it with. */
import type { Schemas } from "@rotorsoft/act";
import { and, eq, type SQL } from "drizzle-orm";
import { QueryBuilder } from "drizzle-orm/pg-core";
import type { ActTables } from "../schema/tables.ts";
import { isRecord, setDates } from "../values/json-dates.ts";
import { ANY, checkOptionsOf, NAME } from "../values/rules.ts";

/** A value as jsonb returns it: a Date is an ISO string, an optional value may be missing. */
export type Stored<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Stored<Item>[]
    : T extends object
      ? { [Key in keyof T]: Stored<T[Key]> }
      : T;

type SchemaMap = Readonly<Record<string, { readonly _zod: { readonly output: unknown } }>>;
/** The events of zod schemas, by name. */
export type EventsOf<Map extends SchemaMap> = {
  [Name in keyof Map]: Extract<Map[Name]["_zod"]["output"], Record<string, unknown>>;
};

type Events = ActTables["events"];
type DataColumn = Events["data"];

/**
 * A column, not `sql<…>`: Drizzle writes an `sql<…>` field without the name of its subquery, so a join of two such subqueries
 * would be ambiguous.
 */
type Typed<Data> = DataColumn & { readonly _: { readonly data: Data } };
// Returns the same column, with a narrower type.
const typed = <Data>(column: DataColumn) => column as Typed<Data>;

const RULES = { alias: NAME, where: ANY };

const isPath = (value: unknown): value is readonly (string | number)[] => Array.isArray(value);

/** Typed reads of a log. {@link typedEvents} makes them. */
export class TypedEvents<E extends Schemas> {
  readonly #events: Events;

  constructor(events: Events) {
    this.#events = events;
  }

  /**
   * The events of one name, as a subquery to select from and to join with: `data` has their type, as jsonb holds it.
   * PostgreSQL flattens the subquery, so that the log's indexes serve as if the condition were part of your query.
   *
   * @param options `alias`: the name of the subquery, by default the event's; `where`: a condition on the log's columns.
   */
  named<N extends keyof E & string, Alias extends string = N>(
    name: N,
    options: { readonly alias?: Alias | undefined; readonly where?: SQL | undefined } = {},
  ) {
    checkOptionsOf("named", options, RULES);
    const { alias, where } = options;
    const { id, stream, version, created, data, meta, dates } = this.#events;
    return new QueryBuilder()
      .select({ id, stream, version, created, data: typed<Stored<E[N]>>(data), meta, dates })
      .from(this.#events)
      .where(and(eq(this.#events.name, name), where))
      .as((alias ?? name) as Alias);
  }

  /** Narrows the type of a row by its name. The row may come from every query, also a relational one. */
  is<N extends keyof E & string>(
    row: { readonly name: string; readonly data: unknown },
    name: N,
  ): row is { readonly name: N; readonly data: Stored<E[N]> } {
    return row.name === name;
  }

  /**
   * The payload as it was committed, with its Dates. The row needs the columns `data` and `dates`, as those of `named`
   * have them. Rows of another adapter have no `dates`: their dates stay strings.
   */
  revive<N extends keyof E & string>(
    _name: N,
    { data, dates }: { readonly data: Stored<E[N]>; readonly dates: unknown },
  ): E[N] {
    const paths = isRecord(dates) && Array.isArray(dates.data) ? dates.data.filter(isPath) : [];
    // With its Dates set, the payload is the value that the schema accepted, so the cast holds. The row is not changed.
    return setDates(structuredClone(data), paths) as E[N];
  }
}

/**
 * Typed reads of a log. The types are those of your state, or of the zod schemas themselves:
 *
 * @example
 * ```ts
 * const log = typedEvents<InferEvents<typeof Account>>(events);
 * const same = typedEvents(events, { Deposited, Withdrawn });
 * const deposited = log.named("Deposited");
 * const rows = await db.select({ amount: numberIn(deposited.data, "amount") }).from(deposited);
 * ```
 */
export function typedEvents<E extends Schemas>(events: Events): TypedEvents<E>;
export function typedEvents<Map extends SchemaMap>(events: Events, schemas: Map): TypedEvents<EventsOf<Map>>;
export function typedEvents(events: Events): TypedEvents<Schemas> {
  return new TypedEvents(events);
}
