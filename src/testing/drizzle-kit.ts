/** The statements that drizzle-kit would push for a user's tables. */
import { createRequire } from "node:module";
import { codeOf } from "../errors.ts";

type Kit = typeof import("drizzle-kit/api");

/** The code of the error if a sandbox such as jest's has no `import()`. There, `require` works. */
const NO_IMPORT = "ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING";

async function load(): Promise<Kit> {
  try {
    return await import("drizzle-kit/api");
  } catch (error) {
    if (codeOf(error)?.startsWith(NO_IMPORT)) return createRequire(import.meta.url)("drizzle-kit/api");
    throw error;
  }
}

/** drizzle-kit is a tool of the user's project, so it is loaded from there, and only if tables are given. */
export async function statementsFor(tables: Record<string, unknown>): Promise<string[]> {
  let kit: Kit;
  try {
    kit = await load();
  } catch (cause) {
    throw new Error(
      "act-drizzle/testing: testKit({ tables }) needs drizzle-kit, which could not be loaded: npm install --save-dev drizzle-kit, or create the tables in build.",
      { cause },
    );
  }
  const statements = await kit.generateMigration(
    kit.generateDrizzleJson({}),
    kit.generateDrizzleJson(tables),
  );
  return statements.map((statement) => statement.trim().replace(/;$/, ""));
}
