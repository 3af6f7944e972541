/** The table of deliberate defects in docs/reports/defects.md: what is broken, where, and which test has noticed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { broken } from "../defects.define.ts";
import { defects } from "../defects.list.ts";
import { type Generator, markdownTable } from "./generator.ts";

/** By defect, the test that failed when it was last tried; empty: none did. */
const kept = join(import.meta.dirname, "../../test/defects.json");

export function readCaught(): ReadonlyMap<string, string> {
  const found: unknown = JSON.parse(readFileSync(kept, "utf8"));
  if (typeof found !== "object" || found === null) throw new Error("test/defects.json holds no record");
  return new Map(Object.entries(found).map(([defect, test]) => [defect, String(test)]));
}

/** Notes what has caught these defects. Of defects that are gone nothing is kept. */
export function keepCaught(caught: ReadonlyMap<string, string | undefined>): void {
  const before = readCaught();
  const now = defects.flatMap(({ defect }): [string, string][] => {
    const test = caught.has(defect) ? (caught.get(defect) ?? "") : before.get(defect);
    return test === undefined ? [] : [[defect, test]];
  });
  writeFileSync(kept, `${JSON.stringify(Object.fromEntries(now), null, 2)}\n`);
}

export const defectsTable: Generator = {
  file: "docs/reports/defects.md",
  name: "defects",
  render: () => {
    const caught = readCaught();
    return markdownTable(
      ["defect", "in", "caught by"],
      defects.map((defect) => {
        const test = caught.get(defect.defect);
        const by = test === undefined ? "not tried yet" : test || "**not caught**";
        return [defect.defect, `\`${broken(defect).file}\``, by];
      }),
    );
  },
};
