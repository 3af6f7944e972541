/** Blocked subscriptions: the error, the attempt, and the event that each stands at. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import { checkGiven, FUNCTION, LIMIT, type Rules, TEXT } from "../values/rules.ts";
import { optionalText } from "./bounded.ts";
import { type EventNames, type EventRef, lookFurther, nextEvents, positionsOf } from "./next-events.ts";

/** Which blocked subscriptions to list. */
export type BlockedOptions = {
  /** Only events of these names count. Default: every event of the source. */
  readonly names?: EventNames | undefined;
  readonly lane?: string | undefined;
  /** Subscriptions at most. Default 50. */
  readonly limit?: number | undefined;
  /** Only those after this one, in byte order of their names: for the next page. */
  readonly after?: string | undefined;
};

/** A subscription that gets no events until it is unblocked or its event is skipped. `at` is its watermark. */
export type Blocked = {
  readonly stream: string;
  readonly source: string | undefined;
  readonly lane: string;
  readonly priority: number;
  readonly at: number;
  /** How often the event was tried. */
  readonly attempts: number;
  /** What the handler failed with. */
  readonly error: string | undefined;
  /** The event that it failed at, if its source still has it. For a rare pattern the search ends after about 1.5 s. */
  readonly event: EventRef | undefined;
};

/**
 * Attempts of a blocked subscription: one at least. The framework first blocks, and then acks the events that were handled
 * before the failing one in the same claim. That ack sets `retry` of the blocked subscription to -1.
 */
export const attemptsOfBlocked = (retry: number): number => Math.max(1, retry + 1);

const DEFAULT_LIMIT = 50;
/** ms after which no further search begins for an event that is far from the watermark. */
const TIME_LIMIT_MS = 1_500;
const RULES: Rules<BlockedOptions> = { names: FUNCTION, lane: TEXT, limit: LIMIT, after: TEXT };

/** $1 lane and $2 the last stream of the page before, if given; then the limit. */
export function blockedQuery(names: Names, { lane, after, limit = DEFAULT_LIMIT }: BlockedOptions): Query {
  const where = new Conditions();
  where.add("s.blocked");
  if (lane !== undefined) where.add(`s.lane = ${where.param(lane)}::text`);
  if (after !== undefined) where.add(`s.stream ~>~ ${where.param(after)}::text`);
  return {
    text: `select s.stream, s.source, s.lane, s.priority, s.at, s.correlated_at, s.retry, s.error
from ${names.streams} s${where.where} order by s.stream using ~<~ limit ${where.param(limit)}::bigint`,
    params: where.params,
  };
}

const row = z.object({
  stream: z.string(),
  source: optionalText,
  lane: z.string(),
  priority: z.number(),
  at: z.coerce.number(),
  correlated_at: z.coerce.number().nullable(),
  retry: z.number(),
  error: optionalText,
});

export async function blocked(context: Context, options: BlockedOptions = {}): Promise<Blocked[]> {
  checkGiven("blocked", options, RULES);
  const rows = z
    .array(row)
    .parse(await context.connections.read("admin", blockedQuery(context.names, options)));
  const end = performance.now() + TIME_LIMIT_MS;
  const positions = positionsOf(rows);
  const near = await nextEvents(context, positions, options.names, end);
  const pending = await lookFurther(context, positions, near, { eventNames: options.names, end });
  return rows.map((found, index) => ({
    stream: found.stream,
    source: found.source,
    lane: found.lane,
    priority: found.priority,
    at: found.at,
    attempts: attemptsOfBlocked(found.retry),
    error: found.error,
    event: pending[index]?.next,
  }));
}
