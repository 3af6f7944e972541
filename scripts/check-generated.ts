/**
 * Fails when a generated file is stale: drizzle/ behind src/schema/tables.ts, or sql.generated.ts behind drizzle/.
 * drizzle-kit has no check of its own, and exits 0 after failing: it generates into a copy of the folder
 * here, and both its words and the copy must say that nothing changed.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import config from "../drizzle.config.ts";
import { generatedFile, migrationFiles, migrationsFolder, renderMigrations } from "./render-migrations.ts";

const root = join(import.meta.dirname, "..");

const problem = staleMigrations() ?? staleModule();
if (problem) {
  console.error(`${problem}\nRun "npm run generate" and commit what it writes.`);
  process.exitCode = 1;
} else {
  console.log("drizzle/ and src/migrations/sql.generated.ts are up to date");
}

function staleMigrations(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "act-drizzle-generate-"));
  try {
    const out = join(folder, "drizzle");
    cpSync(migrationsFolder, out, { recursive: true });
    const configFile = join(folder, "drizzle.config.json");
    // drizzle-kit puts "./" in front of whatever it is given.
    writeFileSync(configFile, JSON.stringify({ ...config, out: relative(root, out) }));
    const run = spawnSync(
      process.execPath,
      [join(root, "node_modules/drizzle-kit/bin.cjs"), "generate", `--config=${configFile}`],
      // Nobody answers: it asks whether a column was renamed.
      { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
    );
    const before = readFolder(migrationsFolder);
    const after = readFolder(out);
    const changed = [...after.keys()].filter((file) => after.get(file) !== before.get(file));
    if (changed.length > 0) {
      const sql = changed.filter((file) => file.endsWith(".sql")).map((file) => after.get(file));
      return `drizzle/ is behind src/schema/tables.ts: ${changed.join(", ")} would change.\n${sql.join("\n")}`;
    }
    if (run.status !== 0 || !run.stdout.includes("No schema changes")) {
      return `drizzle-kit generate failed:\n${run.stdout}${run.stderr}${run.error ?? ""}`;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function staleModule(): string | undefined {
  for (const { path, found, wanted } of migrationFiles())
    if (found !== wanted) return `${relative(root, path)} cannot be run where its tables exist.`;
  const found = existsSync(generatedFile) ? readFileSync(generatedFile, "utf8") : "";
  if (found !== renderMigrations()) return "src/migrations/sql.generated.ts is behind drizzle/.";
}

function readFolder(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    files.map((file) => {
      const path = join(file.parentPath, file.name);
      return [path.slice(folder.length + 1), readFileSync(path, "utf8")];
    }),
  );
}
