/** release(): ends the lease of a worker that is gone, so that others need not wait until it runs out. */
import type { Context } from "../context.ts";
import { Conditions } from "../postgres/conditions.ts";
import { updateStreams } from "../subscriptions/update.ts";
import { checkGiven, NAME, type Rules, required, TEXT } from "../values/rules.ts";

/** Whose lease to end. */
export type ReleaseOptions = {
  /** The subscription. */
  readonly stream: string;
  /** The worker whose lease to end; `lag` shows it. If left out, whichever worker holds it. */
  readonly holder?: string | undefined;
};

const RULES: Rules<ReleaseOptions> = { stream: required(NAME), holder: TEXT };

/** If the worker still lives, it handles its events, and its ack is then refused: another worker handles them again. */
export async function release(context: Context, options: ReleaseOptions): Promise<boolean> {
  checkGiven("release", options, RULES);
  const { stream, holder } = options;
  const where = new Conditions();
  where.add(`s.stream = ${where.param(stream)}::text`);
  where.add("s.leased_by is not null");
  if (holder !== undefined) where.add(`s.leased_by = ${where.param(holder)}::text`);
  return (
    (await updateStreams(context, "release", where, "leased_by = null, leased_until = null", {
      many: false,
    })) > 0
  );
}
