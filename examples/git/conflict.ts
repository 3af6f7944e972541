/** Two writers, one version: the store lets one through and tells the other. */
import { ConcurrencyError } from "@rotorsoft/act";
import { Review, type Writer } from "./domain.ts";

export type Conflict = {
  readonly stream: string;
  readonly winner: string;
  readonly loser: string;
  readonly expected: number;
  readonly actual: number;
  /** The version the loser's event got after it had read again. */
  readonly retried: number;
};

/** Throws when the store lets both through. */
export async function provokeConflict(app: Writer, path: string): Promise<Conflict> {
  const stream = `review:${path}`;
  const claim = async (reviewer: string, expectedVersion?: number) => {
    const target = { stream, actor: { id: reviewer, name: reviewer }, expectedVersion };
    const [snapshot] = await app.do("claimReview", target, { reviewer });
    return snapshot?.version ?? -1;
  };

  await claim("Barbara");
  const seen = (await app.load(Review, stream)).version;
  const reviewers = ["Ada", "Grace"] as const;
  const [ada, grace] = await Promise.allSettled(reviewers.map((reviewer) => claim(reviewer, seen)));
  const rejected = [ada, grace].filter((result) => result?.status === "rejected");
  const error: unknown = rejected[0]?.reason;
  if (rejected.length !== 1 || !(error instanceof ConcurrencyError)) {
    throw new Error(`Two writers expected version ${seen} of ${stream}, and not exactly one got through`, {
      cause: error,
    });
  }
  const [winner, loser] = ada?.status === "fulfilled" ? reviewers : [reviewers[1], reviewers[0]];
  const { expectedVersion: expected, lastVersion: actual } = error;
  return { stream, winner, loser, expected, actual, retried: await claim(loser) };
}
