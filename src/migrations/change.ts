/** One change that a migration makes: what a plan consists of, and how it is applied. */
import type { Run } from "../postgres/index.ts";

/** Done in one statement without parameters. */
export type Change = {
  readonly sql: string;
  /**
   * What was done, in words. A statement that finds out itself what there was to do returns the words as column `done`
   * of its first row; no row means that it did nothing.
   */
  readonly done?: string;
};

/** Runs the statements, and returns what was done, in words. */
export async function apply(run: Run, changes: readonly Change[]): Promise<string[]> {
  const all: string[] = [];
  for (const { sql, done } of changes) {
    const [row] = await run({ text: sql });
    const words = done ?? row?.done;
    if (typeof words === "string") all.push(words);
  }
  return all;
}
