/**
 * What is made from src/options/option-list.ts, url-parameters.ts and environment-variables.ts: the tables in README.md, docs/reference/options.md
 * and docs/reference/connection-strings.md, and the public types (src/options/options.generated.ts).
 */
import { COUNTS, NOT_READ, VARIABLES } from "../../src/options/environment-variables.ts";
import { optionList, optionsSchema } from "../../src/options/option-list.ts";
import { URL_PARAMETERS } from "../../src/options/url-parameters.ts";
import { type Generator, markdownTable } from "./generator.ts";

type Option = (typeof optionList)[number];

const defaults = new Map<string, unknown>(Object.entries(optionsSchema.parse({})));

/** As it is shown in a text; empty where there is none. */
function defaultOf({ name }: Option): string {
  const value = defaults.get(name);
  return value === undefined || String(value) === "" ? "" : `\`${value}\``;
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
  return `// Made from option-list.ts by "npm run generate:docs": do not edit.
import type { InlineProjections } from "./inline.ts";
import type { OnConnect, Password, SslMode, TargetSessionAttrs } from "./modes.ts";
import type { PiiEncryption } from "./pii.ts";
import type { SharedDatabase } from "./shared-database.ts";

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

const code = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(", ");

const readme = () =>
  markdownTable(
    ["Option", "Default", "Description"],
    optionList.map((option) => [`\`${option.name}\``, defaultOf(option), option.docs]),
  );

const reference = () =>
  markdownTable(
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

const urlOptions = () =>
  markdownTable(
    ["Parameter", "Option"],
    optionList.flatMap(({ name, url = {} }) =>
      Object.keys(url).map((parameter) => [`\`${parameter}\``, `\`${name}\``]),
    ),
  );

const urlParameters = () =>
  markdownTable(
    ["Parameter", "Of", "Taken", "What it does", "Else refused"],
    Object.entries(URL_PARAMETERS).map(([name, { from, takes, does, refused }]) => [
      `\`${name}\``,
      from,
      takes ? code(takes) : does === undefined ? "nothing" : "any",
      does ?? "",
      refused ?? "",
    ]),
  );

const variables = () =>
  markdownTable(
    ["Variable", "Like the parameter", "Counts"],
    Object.entries(VARIABLES).map(([name, { parameter, counts }]) => [
      `\`${name}\``,
      `\`${parameter}\``,
      COUNTS[counts],
    ]),
  );

const notRead = () =>
  markdownTable(
    ["Variable", "Why that is safe"],
    Object.entries(NOT_READ).map(([name, why]) => [`\`${name}\``, why]),
  );

export const optionTables: readonly Generator[] = [
  { file: "README.md", name: "options", render: readme },
  { file: "docs/reference/connection-strings.md", name: "url-options", render: urlOptions },
  { file: "docs/reference/connection-strings.md", name: "url-parameters", render: urlParameters },
  { file: "docs/reference/connection-strings.md", name: "variables", render: variables },
  { file: "docs/reference/connection-strings.md", name: "variables-not-read", render: notRead },
  {
    file: "docs/reference/options.md",
    name: "options",
    render: reference,
    files: async () => [["src/options/options.generated.ts", types()]],
  },
];
