/**
 * Whether the tests that test/defects.json names still exist. No test runs for that: a test's name ends with the title that
 * stands in its file. A title may be a template, or have placeholders of `test.each`.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import esquery from "esquery";
import { visitorKeys } from "oxc-parser";
import { parse } from "./defects.locate.ts";

const root = join(import.meta.dirname, "..");

/** Shorter texts end a name by chance. */
const SHORTEST = 8;
/** What `test.each` fills in. */
const PLACEHOLDER = /%[sdifjo]|\$\w+(?:\.\w+)*/g;

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** The fixed parts of a text of the sources, between which anything may stand. */
function partsOf(node: unknown): string[] {
  if (typeof node !== "object" || node === null) return [];
  if ("quasis" in node && Array.isArray(node.quasis))
    return node.quasis.flatMap(({ value }) => String(value.cooked).split(PLACEHOLDER));
  return "value" in node && typeof node.value === "string" ? node.value.split(PLACEHOLDER) : [];
}

/** Those of `names` that end with no text of the tests. */
export function missingTests(names: readonly string[]): string[] {
  let left = [...new Set(names)].filter((name) => name !== "");
  for (const file of globSync("test/**/*.ts", { cwd: root })) {
    const { program } = parse(file, readFileSync(join(root, file), "utf8"));
    for (const node of esquery.query(program, "Literal, TemplateLiteral", { visitorKeys })) {
      const parts = partsOf(node);
      const end = parts.at(-1) ?? "";
      if (parts.join("").length < SHORTEST || !left.some((name) => name.endsWith(end))) continue;
      const title = new RegExp(`(?:^| )${parts.map(escaped).join(".*")}$`);
      left = left.filter((name) => !title.test(name));
    }
  }
  return left;
}
