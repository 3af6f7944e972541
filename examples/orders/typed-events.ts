/**
 * Typed reads of the log: a payload's type comes from the zod schema that the app emits it with. Knows
 * nothing of orders; copy it into your project.
 */
import type { Schemas } from "@rotorsoft/act";
import type { ActTables } from "act-drizzle/schema";
import { and, type Column, eq, type SQL, sql } from "drizzle-orm";
import { type PgColumn, QueryBuilder } from "drizzle-orm/pg-core";

/** A value as jsonb gives it back: a Date is an ISO string, what is optional may be missing. */
export type Stored<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Stored<Item>[]
    : T extends object
      ? { [Key in keyof T]: Stored<T[Key]> }
      : T;

type NumbersIn<Data> = { [Key in keyof Data]-?: Data[Key] extends number ? Key : never }[keyof Data] & string;

type DataColumn = ActTables["events"]["data"];

export function typedEvents<Events extends Schemas>(events: ActTables["events"]) {
  type Name = keyof Events & string;
  const builder = new QueryBuilder();

  /** As a column, not as `sql<…>`, which Drizzle writes without its table: ambiguous in a join of two. */
  const dataOf = <N extends Name>(column: DataColumn, _name: N) =>
    column as unknown as PgColumn<Omit<DataColumn["_"], "data"> & { data: Stored<Events[N]> }>;

  return {
    /**
     * The events of one name, to select from and to join with: `data` has their type. PostgreSQL flattens the
     * subquery, so its indexes serve as if the condition stood in your query.
     */
    named<N extends Name, Alias extends string = N>(
      name: N,
      { alias, where }: { alias?: Alias; where?: SQL } = {},
    ) {
      const { id, stream, version, created, data } = events;
      return builder
        .select({ id, stream, version, created, data: dataOf(data, name) })
        .from(events)
        .where(and(eq(events.name, name), where))
        .as((alias ?? name) as Alias);
    },

    /** Narrows a row of any query, relational ones too, by its name. */
    is<N extends Name>(
      row: { readonly name: string; readonly data: unknown },
      name: N,
    ): row is { readonly name: N; readonly data: Stored<Events[N]> } {
      return row.name === name;
    },
  };
}

/** A number in a payload, for sums and conditions: `numberIn(paid.data, "amount")`. */
export function numberIn<Data>(
  data: Column & { readonly _: { data: Data } },
  key: NumbersIn<Data>,
): SQL<number> {
  // In the text, not as a parameter, so that GROUP BY recognises the expression.
  return sql<number>`(${data} ->> ${sql.raw(`'${key.replaceAll("'", "''")}'`)})::numeric`.mapWith(Number);
}
