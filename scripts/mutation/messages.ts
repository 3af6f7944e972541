/** What the mutation runner and its warm workers tell each other: one JSON document a line. */

export type Job =
  | {
      readonly kind: "cover";
      readonly part: number;
      readonly parts: number;
      /** Tests of which it is known from an earlier run. */
      readonly known: readonly string[];
    }
  | {
      readonly kind: "mutant";
      readonly id: string;
      /** Whether patterns that were read are kept from one test to the next. */
      readonly keep: boolean;
      /** Whether it is on for good, in a process of its own. */
      readonly fixed: boolean;
      readonly tests: readonly TestRun[];
    };

/** A test by its place in the suite; `hits`: how often it passes the mutant when all is well. */
export type TestRun = { readonly test: number; readonly hits: number; readonly millis: number };

export type Covered = {
  readonly test: number;
  readonly file: string;
  readonly name: string;
  readonly millis: number;
  readonly passed: boolean;
  readonly hits: Readonly<Record<string, number>>;
};

export type Answer =
  | { readonly kind: "alive" }
  | {
      readonly kind: "covered";
      readonly tests: readonly Covered[];
      /** All tests, in order. */
      readonly names: readonly string[];
      readonly statics: readonly string[];
    }
  | ({ readonly kind: "verdict"; readonly spoiled: boolean } & Verdict);

/**
 * `refused`: PostgreSQL could not read the changed statement, which any test would notice. `unclear`: a test
 * failed that then failed without the mutant as well.
 */
export type Status = "killed" | "refused" | "timeout" | "survived" | "unclear" | "no coverage";
export type Verdict = { readonly status: Status; readonly by?: string };
