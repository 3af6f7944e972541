/**
 * A user's Drizzle project: a schema file that re-exports the store's tables, and drizzle-kit run on it. The tool
 * exits 0 after failing, so what it says is what counts.
 */
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import { onTestFinished } from "vitest";
import { connect } from "../support/database.ts";

const root = join(import.meta.dirname, "../..");
const kit = join(root, "node_modules/drizzle-kit/bin.cjs");

type Place = { readonly schema: string; readonly table: string };
export type Outcome = "applied" | "unchanged";

export class Project {
  readonly migrations: string;
  readonly #url: string;
  readonly #config: string;

  /** `url` is what the project's drizzle.config gives to the tool. */
  constructor(url: string, stores: readonly Place[]) {
    const folder = mkdtempSync(join(tmpdir(), "act-drizzle-project-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    this.#url = url;
    this.migrations = join(folder, "drizzle");
    this.#config = join(folder, "drizzle.config.json");
    mkdirSync(this.migrations);
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
    const schemaFile = join(folder, "schema.ts");
    writeFileSync(schemaFile, schemaText(stores));
    const config = {
      dialect: "postgresql",
      schema: schemaFile,
      // drizzle-kit puts "./" in front of whatever it is given.
      out: relative(root, this.migrations),
      schemaFilter: [...new Set(stores.map(({ schema }) => schema))],
      dbCredentials: { url },
    };
    writeFileSync(this.#config, JSON.stringify(config));
  }

  /** Brings the database to the schema, as `drizzle-kit push` does without asking. */
  async push(): Promise<Outcome> {
    const said = await this.#run("push");
    if (said.includes("[✓] Changes applied")) return "applied";
    if (said.includes("No changes detected")) return "unchanged";
    throw new Error(`drizzle-kit push failed:\n${said}`);
  }

  /** Writes a migration, if the schema has changed. */
  async generate(): Promise<Outcome> {
    const said = await this.#run("generate");
    if (said.includes("Your SQL migration file")) return "applied";
    if (said.includes("No schema changes")) return "unchanged";
    throw new Error(`drizzle-kit generate failed:\n${said}`);
  }

  /** Drizzle's own migrate(), as an app runs it at its start. */
  migrate(): Promise<void> {
    return runMigrations(this.#url, this.migrations);
  }

  /** Rewrites the generated migrations, as a user would with sed. */
  edit(change: (sql: string) => string): void {
    for (const name of readdirSync(this.migrations).filter((file) => file.endsWith(".sql"))) {
      const file = join(this.migrations, name);
      writeFileSync(file, change(readFileSync(file, "utf8")));
    }
  }

  #run(command: "push" | "generate"): Promise<string> {
    const args = [kit, command, `--config=${this.#config}`, ...(command === "push" ? ["--verbose"] : [])];
    return new Promise((resolve, reject) => {
      const child = execFile(process.execPath, args, { cwd: root, timeout: 60_000 }, (error, out, err) =>
        error
          ? reject(new Error(`drizzle-kit ${command}: ${out}${err}`, { cause: error }))
          : resolve(out + err),
      );
      // Nobody answers its questions.
      child.stdin?.end();
    });
  }
}

/** A migrations table of its own: beside an app's newer migrations, migrate() would skip older ones. */
export async function runMigrations(url: string, folder: string, table?: string): Promise<void> {
  const sql = connect(url);
  try {
    await migrate(drizzle(sql), { migrationsFolder: folder, migrationsTable: table });
  } finally {
    await sql.end();
  }
}

/** drizzle-kit creates the schemas that are exported. */
function schemaText(stores: readonly Place[]): string {
  const schemas = [...new Set(stores.map(({ schema }) => schema))].filter((schema) => schema !== "public");
  return [
    `import { pgSchema } from "drizzle-orm/pg-core";`,
    `import { actTables } from ${JSON.stringify(join(root, "src/schema/tables.ts"))};`,
    ...schemas.map((schema, n) => `export const schema${n} = pgSchema(${JSON.stringify(schema)});`),
    ...stores.flatMap((store, n) => [
      `const store${n} = actTables(${JSON.stringify(store)});`,
      `export const events${n} = store${n}.events;`,
      `export const streams${n} = store${n}.streams;`,
      `export const correlated${n} = store${n}.correlated;`,
    ]),
  ].join("\n");
}
