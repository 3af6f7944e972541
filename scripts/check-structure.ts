/**
 * `npm run check:structure`: imports in src/ point one way, down this list. A file imports its own room and the
 * layers below it. Rooms of one layer do not know each other. Import cycles are found by Biome
 * (`noImportCycles`), inside a room too; this script finds the arrows that run up, which need no cycle. It also finds
 * files that have become too long.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

/** From top to bottom. A room is a folder of src/ or a single file in it. */
const LAYERS: readonly (readonly string[])[] = [
  ["cli"],
  ["console"],
  // Entry points of their own, beside the store.
  ["testing"],
  ["queries"],
  ["projections", "telemetry", "idempotency"],
  ["index.ts"],
  ["store.ts", "database.ts", "seed-all.ts"],
  ["runtime.ts", "own-methods.ts"],
  ["admin"],
  ["backup"],
  ["events", "subscriptions", "notifications", "migrations"],
  ["unknown-options.ts", "correlators.ts"],
  ["context.ts", "operations.ts"],
  ["signals.ts"],
  ["schema"],
  ["postgres"],
  ["errors.ts"],
  ["errors"],
  ["options"],
  ["values"],
];

/** Packages that only these files or folders import. load-tables.ts names act-drizzle/schema, by which it loads Drizzle. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  postgres: ["postgres"],
  commander: ["cli"],
  "cli-progress": ["cli"],
  "cli-table3": ["cli"],
  "@clack/prompts": ["cli"],
  hono: ["console"],
  "@hono/node-server": ["console"],
  "@opentelemetry/api": ["telemetry"],
  "drizzle-orm": ["schema/tables.ts", "schema/table-in.ts", "projections", "idempotency", "queries"],
  "act-drizzle": ["schema/load-tables.ts"],
};

/** The Drizzle schema: a value import of it would load Drizzle with the store. */
const ON_DEMAND = "schema/tables.ts";

type Import = { readonly from: string; readonly types: boolean };

/** What a file imports. Comments are left out: examples in them import, too. */
export function importsOf(text: string): Import[] {
  const code = text.replaceAll(/\/\*.*?\*\/|^\s*\/\/.*$/gms, "");
  const statements = code.matchAll(/^(?:import|export)\s(type\s)?(?:[^"';]*?\sfrom\s)?\s*"([^"]+)"/gm);
  const calls = code.matchAll(/\b(typeof )?(?:import|require)\(\s*"([^"]+)"/g);
  return [...statements, ...calls].map(([, types, from = ""]) => ({ from, types: types !== undefined }));
}

const roomOf = (file: string): string => file.split("/")[0] ?? file;
const layerOf = (file: string): number => LAYERS.findIndex((rooms) => rooms.includes(roomOf(file)));
const packageOf = (name: string): string =>
  name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");

/** One line for each import of `file`, a path in src/, that breaks a rule. */
export function violations(file: string, text: string): string[] {
  const layer = layerOf(file);
  if (layer < 0) return [`${file} is in no layer: add its room to LAYERS in scripts/check-structure.ts`];
  return importsOf(text).flatMap(({ from, types }) => {
    if (!from.startsWith(".")) {
      const allowed = PACKAGES[packageOf(from)];
      return !allowed || allowed.some((room) => file === room || file.startsWith(`${room}/`))
        ? []
        : [`${file} imports "${from}", which only ${allowed.join(", ")} may import`];
    }
    const to = posix.join(posix.dirname(file), from);
    if (to === ON_DEMAND && !types && file !== "schema/load-tables.ts")
      return [`${file} imports ${to} with its values, which loads Drizzle: import its types only`];
    if (roomOf(to) === roomOf(file) || layerOf(to) > layer) return [];
    return [`${file} imports ${to}: ${roomOf(file)} is not above ${roomOf(to)}`];
  });
}

/** The folders whose files have a limit. */
const CODE = ["src", "test", "bench", "scripts", "dev", "examples"];
const MOST_LINES = 400;

/** One line if a file is too long to be read at once. */
export function tooLong(file: string, text: string): string[] {
  const lines = text.split("\n").length - 1;
  return lines > MOST_LINES
    ? [`${file} has ${lines} lines, ${MOST_LINES} at most: split it by what it does`]
    : [];
}

if (import.meta.main) {
  const source = join(import.meta.dirname, "../src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => /\.tsx?$/.test(file));
  const found = files.flatMap((file) => violations(file, readFileSync(join(source, file), "utf8")));
  const long = CODE.flatMap((folder) => {
    const path = join(import.meta.dirname, "..", folder);
    return readdirSync(path, { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(tsx?|css)$/.test(file))
      .flatMap((file) =>
        tooLong(`${folder}/${file.replaceAll("\\", "/")}`, readFileSync(join(path, file), "utf8")),
      );
  });
  if (found.length > 0) console.error(`${found.join("\n")}\nThe layers are in scripts/check-structure.ts.`);
  if (long.length > 0) console.error(long.join("\n"));
  if (found.length + long.length > 0) process.exitCode = 1;
  else
    console.log(
      `${files.length} files in src/: every import points down, and no file has over ${MOST_LINES} lines`,
    );
}
