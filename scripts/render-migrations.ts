import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Where the embedded migrations live; seed() needs them at run time, without a file system. */
export const generatedFile = join(import.meta.dirname, "../src/migrations/sql.generated.ts");
export const migrationsFolder = join(import.meta.dirname, "../drizzle");

/**
 * drizzle-kit writes CREATE without IF NOT EXISTS. The shipped migrations may meet tables that seed() or
 * `drizzle-kit push` has made: with it, all ways to the schema can be taken in any order.
 */
export function repeatable(sql: string): string {
  return sql
    .replaceAll(/^CREATE TABLE (?!IF )/gm, "CREATE TABLE IF NOT EXISTS ")
    .replaceAll(/^CREATE (UNIQUE )?INDEX (?!IF )/gm, "CREATE $1INDEX IF NOT EXISTS ")
    .replaceAll(/^(ALTER TABLE \S+ ADD COLUMN )(?!IF )/gm, "$1IF NOT EXISTS ");
}

/** The SQL files of a folder that drizzle-kit keeps, and what they should say. */
export function migrationFiles(folder: string = migrationsFolder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .map((name) => {
      const path = join(folder, name);
      const found = readFileSync(path, "utf8");
      return { path, found, wanted: repeatable(found) };
    });
}

/** The text of `sql.generated.ts` for a folder that drizzle-kit keeps. */
export function renderMigrations(folder: string = migrationsFolder): string {
  const journal: { entries: { idx: number; tag: string }[] } = JSON.parse(
    readFileSync(join(folder, "meta/_journal.json"), "utf8"),
  );
  const migrations = journal.entries
    .toSorted((a, b) => a.idx - b.idx)
    .map(({ tag }) => {
      const statements = readFileSync(join(folder, `${tag}.sql`), "utf8")
        .split("--> statement-breakpoint")
        .map((statement) => statement.trim().replaceAll("\r\n", "\n"))
        .filter((statement) => statement !== "")
        .map((statement) => `      ${templateLiteral(statement)},\n`);
      return `  {\n    tag: ${JSON.stringify(tag)},\n    statements: [\n${statements.join("")}    ],\n  },\n`;
    });
  return `// Generated from drizzle/ by "npm run generate". Do not edit.

export const migrations: ReadonlyArray<{
  readonly tag: string;
  /** One statement each, as drizzle-kit separates them. */
  readonly statements: readonly string[];
}> = [
${migrations.join("")}];
`;
}

const templateLiteral = (text: string) => `\`${text.replaceAll(/[\\`]|\$\{/g, "\\$&")}\``;
