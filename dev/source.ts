/**
 * `node --import ./dev/source.ts <file>`: `act-drizzle` and its entries are files of src/. So the examples import the
 * package as an app does, and run from a clone without a build. Nothing of this is in the npm package.
 */
import { registerHooks } from "node:module";
import { sourcesOfEntries } from "./entries.ts";

const sources = sourcesOfEntries();

registerHooks({
  resolve(specifier, context, next) {
    const url = sources.get(specifier);
    return url === undefined
      ? next(specifier, context)
      : { url, format: "module-typescript", shortCircuit: true };
  },
});
