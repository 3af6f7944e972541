/** The entries of the package as an app imports them, and the file in src/ that each is built from. */
import { readFileSync } from "node:fs";

const root = new URL("../", import.meta.url);

/** Every `./dist/esm/….d.ts` in it: a build puts the declarations of src/a/b.ts at dist/esm/a/b.d.ts. */
function declarations(entry: unknown): string[] {
  if (typeof entry === "string") return /^\.\/dist\/esm\/.*\.d\.ts$/.test(entry) ? [entry] : [];
  if (typeof entry !== "object" || entry === null) return [];
  return Object.values(entry).flatMap(declarations);
}

/** "act-drizzle/schema" → file:///…/src/schema/tables.ts, from the exports of package.json. */
export function sourcesOfEntries(): ReadonlyMap<string, string> {
  const manifest: unknown = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
  const exported =
    typeof manifest === "object" && manifest !== null && "exports" in manifest ? manifest.exports : undefined;
  return new Map(
    Object.entries(exported ?? {}).flatMap(([name, entry]): [string, string][] => {
      const [types] = declarations(entry);
      if (types === undefined) return [];
      const source = types.replace("./dist/esm/", "src/").replace(/\.d\.ts$/, ".ts");
      return [[name.replace(/^\./, "act-drizzle"), new URL(source, root).href]];
    }),
  );
}
