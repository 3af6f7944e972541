/** Random sequences against a store: how many, from which seed, and how to see a failure again. */
import fc from "fast-check";
import { ReferenceStore } from "./reference.ts";
import { runStep } from "./run.ts";
import { sequence } from "./sequences.ts";
import { Session, type Subject } from "./session.ts";
import type { Step } from "./steps.ts";

export type ModelOptions = {
  /** An empty store for each sequence. */
  readonly subject: () => Promise<Subject>;
  /** The id that restore begins with. */
  readonly firstId: number;
  readonly sequences: number;
  readonly seed: number;
  /** A path of fast-check: replays that one failure instead. */
  readonly path?: string;
  /** Report the first failure as it is, without looking for a shorter one. Default false. */
  readonly raw?: boolean;
};

/** Undefined when all sequences agree, else what to read and how to replay it. */
export async function findDifference(options: ModelOptions): Promise<string | undefined> {
  const { subject, firstId, sequences, seed, path, raw = false } = options;
  const property = fc.asyncProperty(sequence, async (steps) => {
    const session = new Session(await subject(), new ReferenceStore(), firstId);
    for (const [k, next] of steps.entries()) await runStep(session, next).catch(at(k, next));
  });
  const run = await fc.check(property, { numRuns: sequences, seed, path, endOnFailure: raw });
  if (!run.failed) return undefined;
  const error =
    run.errorInstance instanceof Error ? (run.errorInstance.stack ?? "") : String(run.errorInstance);
  const steps: readonly Step[] = run.counterexample?.[0] ?? [];
  return [
    `The stores differ after ${run.numRuns} sequences, ${run.numShrinks} times shrunk.`,
    `Replay: SEED=${run.seed} REPLAY=${run.counterexamplePath} npx vitest run test/model/model.test.ts`,
    ...steps.map((one, k) => `${k}. ${fc.stringify(one)}`),
    error,
  ].join("\n");
}

function at(k: number, step: Step) {
  return (error: unknown) => {
    const cause = error instanceof Error ? error : new Error(String(error));
    cause.message = `step ${k} (${step.verb}): ${cause.message}`;
    throw cause;
  };
}

/** The seed of this run: given, or new each time and printed. */
export function seedOfRun(): number {
  const given = process.env.SEED;
  return given === undefined ? (Date.now() ^ (process.pid << 12)) | 0 : Number(given);
}
