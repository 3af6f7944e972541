/** Why mutants live: by file and by parts of the mutant's key (file, mutator, line, change); the first that fits. */
import type { Mutant } from "./mutants.ts";

export type Reason = {
  readonly file: string;
  readonly has: readonly string[];
  readonly reason: string;
  /** True: no test can tell the mutant from the original. */
  readonly same: boolean;
};

const reasons: readonly Reason[] = [];

export function reasonFor({ key, file }: Mutant): Reason | undefined {
  return reasons.find((r) => file.includes(r.file) && r.has.every((part) => key.includes(part)));
}
