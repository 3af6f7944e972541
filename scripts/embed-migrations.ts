/** Writes the SQL of drizzle/ into a module, so that a bundled app carries its migrations. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { generatedFile, renderMigrations } from "./render-migrations.ts";

mkdirSync(dirname(generatedFile), { recursive: true });
writeFileSync(generatedFile, renderMigrations());
