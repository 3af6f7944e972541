/** Makes the SQL of drizzle/ repeatable, and writes it into a module, so that a bundled app carries its migrations. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { generatedFile, migrationFiles, renderMigrations } from "./render-migrations.ts";

for (const { path, found, wanted } of migrationFiles()) if (found !== wanted) writeFileSync(path, wanted);
mkdirSync(dirname(generatedFile), { recursive: true });
writeFileSync(generatedFile, renderMigrations());
