/** Loads the Drizzle schema when it is first asked for: the store itself runs without Drizzle (docs/internals/adr/0007). */
import { createRequire } from "node:module";
import type { ActTables } from "./tables.ts";

/** Undefined in a CommonJS bundle: esbuild and Rolldown leave nothing in its place. */
const here: string | undefined = import.meta.url;
/** By the package's own name, so that an app's bundle never loads a file of its own instead. */
const SOURCE = here?.endsWith("/src/schema/load-tables.ts") ? "./tables.ts" : "act-drizzle/schema";

type Named = { readonly schema: string; readonly table: string };

/** By config, not in the store: a getter that is read through a Proxy sees no private fields. */
const known = new WeakMap<Named, ActTables>();

/** The tables of a store with this config, always the same ones. */
export function tablesOf(config: Named): ActTables {
  const tables = known.get(config) ?? loadTables(config);
  known.set(config, tables);
  return tables;
}

/** `require` gives the very modules that `import` gives, but at once. */
function loadTables({ schema, table }: Named): ActTables {
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
