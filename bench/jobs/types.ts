import type { Store } from "@rotorsoft/act";
import type { Target } from "../lib/workers.ts";
import { subjectById } from "../subjects/index.ts";

export type JobContext = {
  readonly target: Target;
  /** Aborted when the parent says stop. */
  readonly stop: AbortSignal;
  /** Tells the parent something while the job runs. */
  note(note: unknown): void;
};

export type PreparedJob = { run(): Promise<unknown> };

export function openTarget({ subject, options }: Target): Promise<Store> {
  return subjectById(subject).open(options);
}
