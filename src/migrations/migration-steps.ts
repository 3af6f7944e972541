/**
 * Reads the shipped migrations as steps, with a store's schema and table. drizzle-kit generates them for the default names,
 * and every name in them begins with the table's. A step says what its statement creates, so that seed() can tell
 * whether `drizzle-kit push`, a user's own migration or act-pg has already created it, or a part of it.
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

/** A bigint column in a CREATE TABLE or an ADD COLUMN. $1 is the text before its type. */
const BIGINT_COLUMN = /^((?:\t|ALTER TABLE "[^"]+" ADD COLUMN (?:IF NOT EXISTS )?)"[^"]+") bigint\b/gm;

const COMMENT_LINE = /^--.*\n/gm;

/** The groups of a match. A group that took no part is empty. */
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
 * Reads one statement of a migration, with a store's names.
 *
 * @throws for a statement whose effect seed() cannot find in the catalog.
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
 * The steps of all migrations, in order, with the store's names. Their statements need the schema as search_path.
 * With `narrow`, new tables and columns hold ids as int4, like an events table that act-pg made.
 */
export function migrationSteps({ table }: Names, options: { narrow?: boolean } = {}): Step[] {
  return migrations.flatMap(({ statements }) =>
    statements.map((statement) => toStep(statement, table, options)),
  );
}

/**
 * The index `name` is built as `next` while the table is in use. Then it is renamed to `name`, and the former index to `old`
 * until it is dropped. An interrupted seed() leaves these names behind, and the next one finds them.
 */
export type IndexStep = Step & { readonly kind: "index"; readonly next: string; readonly old: string };

/** The indexes of all migrations. The temporary names are shorter than the longest name that `namesOf` checks. */
export function indexSteps(names: Names): IndexStep[] {
  return migrationSteps(names)
    .filter((step) => step.kind === "index")
    .map((step, k) => ({ ...step, next: `${names.table}_next_ix_${k}`, old: `${names.table}_old_ix_${k}` }));
}
