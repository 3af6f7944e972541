/** What is let loose at once, and who of it may lose. */
import { ConcurrencyError } from "@rotorsoft/act";
import { expect } from "vitest";

export type Racer<T> = {
  /** A commit that says which head it expects. */
  readonly guarded: boolean;
  run(): Promise<T>;
};

export const mayLose = <T>(run: () => Promise<T>): Racer<T> => ({ guarded: true, run });
export const mustLand = <T>(run: () => Promise<T>): Racer<T> => ({ guarded: false, run });

/** Who won, with what answer, and who lost: only guarded commits, and only to a conflict (M3, M4). */
export async function race<T>(racers: readonly Racer<T>[]): Promise<{ won: T[]; lost: ConcurrencyError[] }> {
  const settled = await Promise.allSettled(racers.map(({ run }) => run()));
  const won: T[] = [];
  const lost: ConcurrencyError[] = [];
  const unexpected: unknown[] = [];
  for (const [k, result] of settled.entries()) {
    if (result.status === "fulfilled") won.push(result.value);
    else if (racers[k]?.guarded && result.reason instanceof ConcurrencyError) lost.push(result.reason);
    else unexpected.push(result.reason);
  }
  expect(unexpected).toEqual([]);
  return { won, lost };
}
