/** How a deliberate defect is written down. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export type Defect = {
  readonly defect: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly tests: readonly string[];
  readonly filter: string;
};

const conformance = ["test/conformance/postgres.test.ts"];

export const on = (file: string, filter: string, tests: readonly string[] = conformance) => {
  return (defect: string, from: string, to: string): Defect => ({ defect, file, from, to, tests, filter });
};

/** A defect that takes a change in several places: the whole file, before and after. */
export const across = (file: string, filter: string) => {
  const from = readFileSync(join(import.meta.dirname, "..", file), "utf8");
  return (defect: string, ...edits: readonly (readonly [string, string])[]): Defect => {
    const to = edits.reduce((text, [old, changed]) => {
      if (!text.includes(old)) throw new Error(`${defect}: "${old}" is not in ${file}`);
      return text.replaceAll(old, () => changed);
    }, from);
    return on(file, filter)(defect, from, to);
  };
};
