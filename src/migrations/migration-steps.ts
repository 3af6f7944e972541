/**
 * The shipped migrations for any schema and table: drizzle-kit generates them for the default names, and
 * every name in them begins with the table's. What they create is understood well enough to be completed
 * where `drizzle-kit push`, a user's own migration or act-pg has made a part of it before.
 */
import type { Names } from "../schema/names.ts";
import { migrations } from "./sql.generated.ts";

export type Column = { readonly name: string; readonly definition: string };
export type Option = { readonly name: string; readonly value: string };
export type Step = { readonly name: string; readonly sql: string } & (
  | { readonly kind: "table"; readonly columns: readonly Column[] }
  /** Adds columns to the table `name`. */
  | { readonly kind: "columns"; readonly columns: readonly Column[] }
  | { readonly kind: "index"; readonly table: string; readonly unique: boolean }
  | { readonly kind: "storage"; readonly options: readonly Option[] }
);

const TABLE = /^CREATE TABLE (?:IF NOT EXISTS )?"([^"]+)" \(\n(.*)\n\);?$/s;
const ADD_COLUMN = /^ALTER TABLE "([^"]+)" ADD COLUMN (?:IF NOT EXISTS )?"([^"]+)" (.*?);?$/s;
const INDEX = /^CREATE (UNIQUE )?INDEX (?:IF NOT EXISTS )?"([^"]+)" ON "([^"]+)"/;
const STORAGE = /^ALTER TABLE "([^"]+)" SET \((.*)\);?$/;
const COLUMN = /^\t"([^"]+)" (.*?),?$/;
const OPTION = /^([a-z_]+) = (\S+)$/;

/** Where a column's type begins, in a CREATE TABLE and in an ADD COLUMN. */
const BIGINT_COLUMN = /^((?:\t|ALTER TABLE "[^"]+" ADD COLUMN (?:IF NOT EXISTS )?)"[^"]+") bigint\b/gm;

const COMMENT_LINE = /^--.*\n/gm;

/** The groups of a match, all of which a statement of ours has. */
function groups(pattern: RegExp, text: string): string[] | undefined {
  const match = pattern.exec(text);
  return match ? match.slice(1).map((group) => group ?? "") : undefined;
}

function parts(pattern: RegExp, list: string, separator: string): { name: string; value: string }[] {
  return list.split(separator).map((part) => {
    const [name, value] = groups(pattern, part) ?? [];
    if (!name || !value) throw new Error(`a migration has a part that seed() does not understand: ${part}`);
    return { name, value };
  });
}

/**
 * One statement of a migration, with a store's names.
 *
 * @throws if it is of a form that seed() could not recognise as done.
 */
export function toStep(statement: string, table: string, { narrow = false } = {}): Step {
  const named = statement.replaceAll('"events', `"${table}`);
  return parse(narrow ? named.replaceAll(BIGINT_COLUMN, "$1 integer") : named);
}

function parse(statement: string): Step {
  const sql = statement.replace(COMMENT_LINE, "").trim();
  const [table, lines = ""] = groups(TABLE, sql) ?? [];
  if (table) {
    const columns = parts(COLUMN, lines, "\n").map(({ name, value }) => ({ name, definition: value }));
    return { kind: "table", name: table, sql, columns };
  }
  const [altered, added = "", definition = ""] = groups(ADD_COLUMN, sql) ?? [];
  if (altered) return { kind: "columns", name: altered, sql, columns: [{ name: added, definition }] };
  const [unique, index, on = ""] = groups(INDEX, sql) ?? [];
  if (index) return { kind: "index", name: index, sql, table: on, unique: unique !== "" };
  const [stored, options = ""] = groups(STORAGE, sql) ?? [];
  if (stored) return { kind: "storage", name: stored, sql, options: parts(OPTION, options, ", ") };
  throw new Error(`a migration has a statement that seed() does not understand: ${sql}`);
}

/**
 * Every step of every migration, in order, with the store's names. Run with the schema as search_path. `narrow`:
 * new tables and columns hold ids as int4, as the events table that they join does.
 */
export function migrationSteps({ table }: Names, options: { narrow?: boolean } = {}): Step[] {
  return migrations.flatMap(({ statements }) =>
    statements.map((statement) => toStep(statement, table, options)),
  );
}
