/**
 * The shipped migrations for any schema and table: drizzle-kit generates them for the default names, and
 * every name in them begins with the table's. What they create is understood well enough to be completed
 * where `drizzle-kit push`, a user's own migration or act-pg has made a part of it before.
 */
import type { Names } from "../names.ts";
import { migrations } from "./sql.generated.ts";

/** Recorded in a comment on the events table: a table of our own would be dropped by `drizzle-kit push`. */
export const VERSION = migrations.length;

export type Column = { readonly name: string; readonly definition: string };
export type Step =
  | {
      readonly kind: "table";
      readonly name: string;
      readonly sql: string;
      readonly columns: readonly Column[];
    }
  | { readonly kind: "index"; readonly name: string; readonly sql: string }
  | { readonly kind: "other"; readonly sql: string };

const TABLE = /^CREATE TABLE "([^"]+)" \(\n(.*)\n\);?$/s;
const INDEX = /^CREATE (?:UNIQUE )?INDEX "([^"]+)"/;
const COLUMN = /^\t"([^"]+)" (.*?),?$/;

const COMMENT_LINE = /^--.*\n/gm;

function toStep(statement: string): Step {
  const sql = statement.replace(COMMENT_LINE, "").trim();
  const table = TABLE.exec(sql);
  if (table) {
    const columns = (table[2] ?? "").split("\n").map((line): Column => {
      const column = COLUMN.exec(line);
      if (!column)
        throw new Error(`a migration has a column that seed() does not understand: ${line.trim()}`);
      return { name: column[1] ?? "", definition: column[2] ?? "" };
    });
    return { kind: "table", name: table[1] ?? "", sql, columns };
  }
  const index = INDEX.exec(sql);
  return index ? { kind: "index", name: index[1] ?? "", sql } : { kind: "other", sql };
}

/** Every step of every migration, in order, with the store's names. Run with the schema as search_path. */
export function planOf({ table }: Names): Step[] {
  return migrations.flatMap(({ statements }) =>
    statements.map((statement) => toStep(statement.replaceAll('"events', `"${table}`))),
  );
}

const RECORD = /\[act-drizzle schema (\d+)\]/;

/** The version that a table's comment records; undefined if it records none. */
export function recordedVersion(comment: unknown): number | undefined {
  const found = typeof comment === "string" ? RECORD.exec(comment)?.[1] : undefined;
  return found === undefined ? undefined : Number(found);
}

/** The comment with the record set; what a user wrote there stays. */
export function withRecord(comment: unknown): string {
  const record = `[act-drizzle schema ${VERSION}]`;
  const text = typeof comment === "string" ? comment : "";
  return RECORD.test(text) ? text.replace(RECORD, record) : [text, record].filter(Boolean).join(" ");
}
