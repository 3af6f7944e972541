/** The SQL of the guides, so that the tests run what users are told to run. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The SQL blocks under a heading, each as its statements: CONCURRENTLY does not run among others. */
export function runbookSql(heading: string, guide = "migrating-from-act-pg.md"): string[][] {
  const page = readFileSync(join(import.meta.dirname, "../../docs/guides", guide), "utf8");
  const section = page.split(/^#+ /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`The guide has no section "${heading}"`);
  const blocks = [...section.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, block = ""]) =>
    block
      .split(/;$/m)
      .map((statement) => statement.trim())
      .filter((statement) => statement !== ""),
  );
  if (blocks.length === 0) throw new Error(`The guide has no SQL under "${heading}"`);
  return blocks;
}
