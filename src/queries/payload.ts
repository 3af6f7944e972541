/** Values in payloads, as SQL: for conditions, sums and orders. A path is checked against the type of the payload. */
import { type Column, type SQL, sql } from "drizzle-orm";

/** A column of payloads: `data` of `log.named(…)`. */
type Payload<Data> = Column & { readonly _: { readonly data: Data } };

type Some<T> = Exclude<T, null | undefined>;
/** The most steps of a path: the recursive type needs an end. */
type Depth = 6;
/** The paths in T that lead to a value of type V: keys, and positions in lists; up to six steps. */
export type PathTo<T, V, Gone extends readonly unknown[] = readonly []> = Gone["length"] extends Depth
  ? never
  : T extends readonly (infer Item)[]
    ? readonly [number, ...Rest<Item, V, readonly [...Gone, unknown]>]
    : T extends object
      ? {
          [Key in keyof T & string]: readonly [Key, ...Rest<T[Key], V, readonly [...Gone, unknown]>];
        }[keyof T & string]
      : never;
type Rest<T, V, Gone extends readonly unknown[]> = [Some<T>] extends [V]
  ? readonly []
  : PathTo<Some<T>, V, Gone>;
type Steps = readonly (string | number)[];

/** A part of a value: some of its keys, and some items of its lists. */
export type PartOf<T> = T extends readonly (infer Item)[]
  ? readonly PartOf<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]?: PartOf<T[Key]> }
    : T;

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** The path is part of the text, not a parameter, so that GROUP BY and an index on the expression recognize it. */
function at(data: Column, path: readonly (string | number)[]): SQL {
  const [first, ...rest] = path;
  const only = rest.length === 0 && typeof first === "string";
  if (only) return sql`${data} ->> ${sql.raw(literal(first))}`;
  const steps = path.map((step) => literal(String(step))).join(", ");
  return sql`${data} #>> array[${sql.raw(steps)}]`;
}

/**
 * A text in a payload: `textIn(placed.data, "customer", "name")`. Null if it is missing, as with numberIn, booleanIn and
 * dateIn.
 */
export function textIn<Data>(data: Payload<Data>, ...path: PathTo<Data, string> & Steps): SQL<string> {
  return sql<string>`(${at(data, path)})`;
}

/** A number in a payload, for sums and conditions: `numberIn(paid.data, "amount")`. */
export function numberIn<Data>(data: Payload<Data>, ...path: PathTo<Data, number> & Steps): SQL<number> {
  return sql<number>`(${at(data, path)})::numeric`.mapWith(Number);
}

/** A boolean in a payload: `booleanIn(order.data, "paid")`. */
export function booleanIn<Data>(data: Payload<Data>, ...path: PathTo<Data, boolean> & Steps): SQL<boolean> {
  return sql<boolean>`(${at(data, path)})::boolean`;
}

/**
 * A date in a payload, which jsonb holds as a text: a Date in results, a timestamptz in conditions. Compare it with a text
 * or an expression: `gt(dateIn(shipped.data, "due"), sql`now()`)`.
 */
export function dateIn<Data>(data: Payload<Data>, ...path: PathTo<Data, string> & Steps): SQL<Date> {
  return sql<Date>`(${at(data, path)})::timestamptz`.mapWith({
    mapFromDriverValue: (value: unknown) => (value instanceof Date ? value : new Date(String(value))),
  });
}

/** True if a payload contains `part`: `contains(placed.data, { lines: [{ sku: "A-1" }] })`. A GIN index on `data` serves it. */
export function contains<Data>(data: Payload<Data>, part: PartOf<Data>): SQL<boolean> {
  return sql<boolean>`${data} @> (${JSON.stringify(part)}::text)::jsonb`;
}
