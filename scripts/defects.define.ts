/** How a deliberate defect is written down. */
import {
  applyChanges,
  type Change,
  codeChanges,
  type Module,
  moduleOf,
  sqlChanges,
} from "./defects.locate.ts";

type Edit = (module: Module) => readonly Change[];

export type Defect = {
  /** What is broken, in words. */
  readonly defect: string;
  /** A name that its module exports, and no other. */
  readonly exported: string;
  readonly edits: readonly Edit[];
  readonly tests: readonly string[];
  /** Names of the tests that must notice, as a regular expression. */
  readonly filter: string;
};

export const CONFORMANCE = ["test/conformance/postgres.test.ts"];

/** Defects of the module that exports `exported`. */
export const on = (exported: string, filter: string, tests: readonly string[] = CONFORMANCE) => {
  return (defect: string, ...edits: readonly Edit[]): Defect => ({ defect, exported, edits, tests, filter });
};

function exactlyOne(what: string, changes: readonly Change[], { file }: Module): readonly Change[] {
  if (changes.length !== 1) throw new Error(`${what} is in ${file} ${changes.length} times, not once`);
  return changes;
}

function atLeastOne(what: string, changes: readonly Change[], { file }: Module): readonly Change[] {
  if (changes.length === 0) throw new Error(`${what} is not in ${file}`);
  return changes;
}

/** Replaces the node that a selector finds. See {@link codeChanges} for what `to` may refer to. */
export const code =
  (selector: string, to: string): Edit =>
  (module) =>
    exactlyOne(selector, codeChanges(module, selector, to), module);

/** Replaces a part of a statement. White space in the pattern matches any; `${}` is any expression. */
export const sql =
  (pattern: string | RegExp, to: string): Edit =>
  (module) =>
    exactlyOne(String(pattern), sqlChanges(module, pattern, to), module);

export const sqlEverywhere =
  (pattern: string | RegExp, to: string): Edit =>
  (module) =>
    atLeastOne(String(pattern), sqlChanges(module, pattern, to), module);

/** The file that a defect breaks, and its source with the defect. */
export function broken({ defect, exported, edits }: Defect): {
  readonly file: string;
  readonly source: string;
} {
  try {
    const module = moduleOf(exported);
    const changes = edits.flatMap((edit) => edit(module));
    const source = applyChanges(module, changes);
    if (source === module.source) throw new Error("it changes nothing");
    return { file: module.file, source };
  } catch (error) {
    throw new Error(`"${defect}": ${error instanceof Error ? error.message : error}`);
  }
}
