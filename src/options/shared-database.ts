/** The other value of the option `database`, beside a name: a PostgresDatabase, whose connections stores share. */
import { isRecord } from "../values/json-dates.ts";

/** Global, because each entry of the package is bundled by itself. */
export const DATABASE = Symbol.for("act-drizzle.database");

/** Connections that stores share: a `PostgresDatabase`. */
export type SharedDatabase = { readonly [DATABASE]: true };

export const isSharedDatabase = (value: unknown): value is SharedDatabase =>
  isRecord(value) && Reflect.get(value, DATABASE) === true;

/** The options that each store has of its own. All others concern its connections. */
export const STORE_OPTIONS = [
  "schema",
  "table",
  "notify",
  "pollIntervalMillis",
  "dates",
  "inline",
  "pii_encryption",
] as const;

const own = new Set<string>(STORE_OPTIONS);

export const isStoreOption = (name: string): boolean => own.has(name);

/** The database of a store's options; undefined if it has connections of its own. */
export function sharedDatabaseOf(options: unknown): SharedDatabase | undefined {
  const database = isRecord(options) ? options.database : undefined;
  return isSharedDatabase(database) ? database : undefined;
}

/** Refuses options that are set and do not belong where they are given. */
export function refuseOptions(options: unknown, refused: (name: string) => boolean, because: string): void {
  if (!isRecord(options)) return;
  const names = Object.entries(options).flatMap(([name, value]) =>
    value !== undefined && refused(name) ? [`"${name}"`] : [],
  );
  if (names.length > 0)
    throw new TypeError(`act-drizzle: option${names.length > 1 ? "s" : ""} ${names.join(", ")}: ${because}`);
}
