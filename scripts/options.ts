/**
 * Writes what is made from src/options/option-list.ts: the public types (src/options/options.generated.ts), the table in
 * README.md and docs/reference/options.md, between `<!-- options -->` and `<!-- /options -->`.
 * `--check` writes nothing and fails when one of them is stale.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { optionList, optionsSchema } from "../src/options/option-list.ts";

type Option = (typeof optionList)[number];

const root = join(import.meta.dirname, "..");
const MARKS = ["<!-- options -->", "<!-- /options -->"] as const;

const defaults = new Map<string, unknown>(Object.entries(optionsSchema.parse({})));

/** As it is shown in a text; empty where there is none. */
function defaultOf({ name }: Option): string {
  const value = defaults.get(name);
  return value === undefined ? "" : `\`${value}\``;
}

function types(): string {
  const property = (name: string, type: string, docs: string) =>
    `  /** ${docs} */\n  readonly ${name}: ${type};`;
  const given = optionList.map((option) => {
    const value = defaultOf(option);
    const docs = value ? `${option.docs} Default ${value}.` : option.docs;
    return property(`${option.name}?`, `${option.type} | undefined`, docs);
  });
  const resolved = optionList.flatMap(({ name, type, docs, config = { type, docs } }) =>
    config ? [property(name, config.type, config.docs)] : [],
  );
  return `// Made from option-list.ts by "node scripts/options.ts": do not edit.
import type { SslMode, TargetSessionAttrs } from "./modes.ts";

/** Options of PostgresStore. All are optional; the variables of libpq (PGHOST, PGPORT, …) fill what is left out. */
export type PostgresStoreOptions = {
${given.join("\n")}
};

/** The options that are kept for everybody to read, with every default applied. */
export type ConfigOptions = {
${resolved.join("\n")}
};
`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `|${cells.map((c) => (c ? ` ${c.replaceAll("|", "\\|")} ` : " ")).join("|")}|`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

const code = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(", ");

const readme = () =>
  table(
    ["Option", "Default", "Description"],
    optionList.map((option) => [`\`${option.name}\``, defaultOf(option), option.docs]),
  );

const reference = () =>
  table(
    ["Option", "Type", "Default", "In a URL", "In the environment", "Description"],
    optionList.map((option) => [
      `\`${option.name}\``,
      `\`${option.type}\``,
      defaultOf(option),
      code(Object.keys(option.url ?? {})),
      code(Object.keys(option.env ?? {})),
      option.docs,
    ]),
  );

/** The file with `text` between its marks. */
function between(file: string, text: string): string {
  const [open, close] = MARKS;
  const [start = "", rest = ""] = read(file).split(open);
  const end = rest.split(close)[1];
  if (end === undefined) throw new Error(`${file} lacks ${MARKS.join(" … ")}`);
  return `${start}${open}\n${text}\n${close}${end}`;
}

function read(file: string): string {
  const path = join(root, file);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

const wanted = {
  "src/options/options.generated.ts": types(),
  "README.md": between("README.md", readme()),
  "docs/reference/options.md": between("docs/reference/options.md", reference()),
};
const stale = Object.entries(wanted).filter(([file, text]) => read(file) !== text);

if (!process.argv.includes("--check")) {
  for (const [file, text] of stale) writeFileSync(join(root, file), text);
  console.log(`written: ${stale.map(([file]) => file).join(", ") || "nothing, all is up to date"}`);
} else if (stale.length > 0) {
  console.error(`Behind src/options/option-list.ts: ${stale.map(([file]) => file).join(", ")}`);
  console.error(`Run "node scripts/options.ts" and commit what it writes.`);
  process.exitCode = 1;
} else {
  console.log("what is made from src/options/option-list.ts is up to date");
}
