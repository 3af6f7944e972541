/** Loads the Drizzle schema when it is first asked for: the store itself runs without Drizzle (docs/internals/adr/0007). */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { ActTables } from "./tables.ts";

/**
 * A URL in an ES module, a path in the package's CommonJS, and undefined in a CommonJS bundle of esbuild. No other property
 * of `import.meta` may stand here: Bun leaves it in a CommonJS bundle, which then does not even start.
 */
const here: string | undefined = import.meta.url;

/**
 * The path or name of the schema module. It uses the package's own name, so that a bundle never loads a file of the app
 * by mistake. An ES module gets the path of the ES module, so that the app's `drizzle-orm` is loaded once: by its name
 * `require` would load the CommonJS copy.
 */
function source(require: NodeJS.Require): string {
  if (here?.endsWith("/src/schema/load-tables.ts")) return "./tables.ts";
  if (!here?.startsWith("file:")) return "act-drizzle/schema";
  return join(dirname(require.resolve("act-drizzle/package.json")), "dist/esm/schema.js");
}

type Named = { readonly schema: string; readonly table: string };

/** The tables by config. A private field of the store would not do: a getter that is called through a Proxy cannot read it. */
const known = new WeakMap<Named, ActTables>();

/** The tables of a store with this config, always the same ones. */
export function tablesOf(config: Named): ActTables {
  const tables = known.get(config) ?? loadTables(config);
  known.set(config, tables);
  return tables;
}

/** `require` of what `source()` resolves returns the same module as `import`, but synchronously. */
function loadTables({ schema, table }: Named): ActTables {
  let module: typeof import("./tables.ts");
  try {
    const require = createRequire(here ?? "");
    module = require(source(require));
  } catch (cause) {
    throw new Error(
      "act-drizzle: store.tables could not load act-drizzle/schema: install drizzle-orm, and in a bundled app call actTables() of act-drizzle/schema instead.",
      { cause },
    );
  }
  return module.actTables({ schema, table });
}
