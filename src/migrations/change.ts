/** The changes that a plan consists of, and how they are applied. */
import type { Run } from "../postgres/index.ts";

/** A change of one statement without parameters. */
export type Change = {
  readonly sql: string;
  /**
   * A text that says what was done. A statement that itself finds out what to do returns the text as column `done` of its
   * first row; no row means that it did nothing.
   */
  readonly done?: string;
};

/** Runs the statements, and returns the texts that say what was done. */
export async function apply(run: Run, changes: readonly Change[]): Promise<string[]> {
  const all: string[] = [];
  for (const { sql, done } of changes) {
    const [row] = await run({ text: sql });
    const text = done ?? row?.done;
    if (typeof text === "string") all.push(text);
  }
  return all;
}
