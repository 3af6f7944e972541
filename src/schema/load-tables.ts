/** Loads the Drizzle schema when it is first asked for: the store itself runs without Drizzle (docs/internals/adr/0007). */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { ActTables } from "./tables.ts";

/** Undefined in a CommonJS bundle: esbuild and Rolldown leave nothing in its place. */
const here: string | undefined = import.meta.url;
/** Undefined in CommonJS, and in a bundle of webpack. It is called on `import.meta`, because Bun requires that. */
const resolve: ((name: string) => string) | undefined =
  typeof import.meta.resolve === "function" ? (name) => import.meta.resolve(name) : undefined;

/**
 * The path or name of the schema module. It uses the package's own name, so that a bundle never loads a file of the app
 * by mistake. It resolves the name as `import` does, so that the app's `drizzle-orm` is loaded once: `require` would load
 * the CommonJS copy.
 */
function source(): string {
  if (here?.endsWith("/src/schema/load-tables.ts")) return "./tables.ts";
  return resolve ? fileURLToPath(resolve("act-drizzle/schema")) : "act-drizzle/schema";
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

/** `require` of the path that `source()` resolves returns the same module as `import`, but synchronously. */
function loadTables({ schema, table }: Named): ActTables {
  let module: typeof import("./tables.ts");
  try {
    module = createRequire(here ?? "")(source());
  } catch (cause) {
    throw new Error(
      "act-drizzle: store.tables could not load act-drizzle/schema: install drizzle-orm, and in a bundled app call actTables() of act-drizzle/schema instead.",
      { cause },
    );
  }
  return module.actTables({ schema, table });
}
