/**
 * Derives every name from `schema` and `table`. The verbs write their statements as text around these names: Drizzle
 * would take 70–350 µs to build a statement, and would send it unprepared, in two round trips (docs/internals/adr/0002).
 */
import { ANY, checkOptionsOf, NAME, type Rules } from "../values/rules.ts";
import { tableNames } from "./table-names.ts";

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** NAMEDATALEN − 1. PostgreSQL cuts longer identifiers off without an error, so that two stores could share tables. */
const MAX_BYTES = 63;
/** The longest name that tables.ts derives from `table`. */
const LONGEST_SUFFIX = "_streams_lane_prio_ix";

export type Names = {
  readonly schema: string;
  readonly table: string;
  /** Qualified and quoted: `"schema"."table"`. */
  readonly events: string;
  readonly streams: string;
  readonly correlated: string;
  /** The text whose hashtext() is the key of the append lock. act-pg uses the same: `hashtext('"schema"."table"')`. */
  readonly lockKey: string;
  /** LISTEN/NOTIFY channel. Quoted wherever it is used, so that upper case works. */
  readonly channel: string;
};

function check(option: string, value: string, derived: string): void {
  if (!IDENTIFIER.test(value))
    throw new Error(
      `act-drizzle: invalid ${option} ${JSON.stringify(value)}: an identifier of letters, digits and _, not starting with a digit, is needed.`,
    );
  if (Buffer.byteLength(derived) > MAX_BYTES)
    throw new Error(
      `act-drizzle: ${option} ${JSON.stringify(value)} is too long: the derived name "${derived}" exceeds PostgreSQL's ${MAX_BYTES} bytes. Choose a shorter name.`,
    );
}

/** Checks both identifiers, and derives the other names. Throws an Error that names the invalid one. */
export function namesOf(schema: string, table: string): Names {
  check("schema", schema, schema);
  check("table", table, table + LONGEST_SUFFIX);
  const channel = `act_commit_${schema}_${table}`;
  if (Buffer.byteLength(channel) > MAX_BYTES)
    throw new Error(
      `act-drizzle: schema ${JSON.stringify(schema)} and table ${JSON.stringify(table)} are too long together: the derived name "${channel}" exceeds PostgreSQL's ${MAX_BYTES} bytes. Choose shorter names.`,
    );
  const tables = tableNames(table);
  const qualified = (name: string) => `"${schema}"."${name}"`;
  return {
    schema,
    table,
    events: qualified(tables.events),
    streams: qualified(tables.streams),
    correlated: qualified(tables.correlated),
    lockKey: `"${schema}"."${table}"`,
    channel,
  };
}

type TableOptions = { readonly schema?: string | undefined; readonly table?: string | undefined };

const RULES: Rules<TableOptions> = { schema: NAME, table: NAME };

/** @throws TypeError for an option that is unknown or has a wrong value. */
export const checkTableOptions = (name: string, options: TableOptions): void =>
  checkOptionsOf(name, options, RULES);

/** The names of a store whose schema and table may be left out. */
export function namesFrom(name: string, options: TableOptions): Names {
  checkOptionsOf(name, options, { schema: ANY, table: ANY });
  return namesOf(options.schema ?? "public", options.table ?? "events");
}

/** A string as an SQL literal: for validated names in statements, never for user data. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
