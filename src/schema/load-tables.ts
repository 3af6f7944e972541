/** Loads the Drizzle schema when it is first asked for: the store itself runs without Drizzle (docs/internals/adr/0007). */
import { createRequire } from "node:module";
import type { ActTables } from "./tables.ts";

/** Undefined in a CommonJS bundle: esbuild and Rolldown leave nothing in its place. */
const here: string | undefined = import.meta.url;
/** By the package's own name, so that an app's bundle never loads a file of its own instead. */
const SOURCE = here?.endsWith("/src/schema/load-tables.ts") ? "./tables.ts" : "act-drizzle/schema";

/** The tables of a store. `require` gives the very modules that `import` gives, but at once. */
export function loadTables(schema: string, table: string): ActTables {
  let module: typeof import("./tables.ts");
  try {
    module = createRequire(here ?? "")(SOURCE);
  } catch (cause) {
    throw new Error(
      "act-drizzle: store.tables could not load act-drizzle/schema: install drizzle-orm, and in a bundled app call actTables() of act-drizzle/schema instead.",
      { cause },
    );
  }
  return module.actTables({ schema, table });
}
