/** The tree of causes of one correlation: which event made a reaction commit which other one, across streams. */
import type { Context } from "../context.ts";
import { checkArgument, checkGiven, FLAG, LIMIT, NAME, type Rules } from "../values/rules.ts";
import { msBetween } from "./bounded.ts";
import { type EventView, events } from "./events.ts";

/** An event, and the events that reactions to it have committed. */
export type TraceNode = {
  readonly event: EventView;
  /** ms between the cause's commit and this one; undefined for a root. */
  readonly afterMs: number | undefined;
  readonly effects: readonly TraceNode[];
};

/** The events of one correlation as trees: `roots` have no cause among them. `events` is how many are shown. */
export type Trace = {
  readonly correlation: string;
  readonly roots: readonly TraceNode[];
  readonly events: number;
  /** Fewer than there are, because of `limit`. */
  readonly cut: boolean;
  /** From the first event to the last, in ms. */
  readonly durationMs: number;
};

const DEFAULT_LIMIT = 1_000;

/** Makes a tree of events in the order of the log. An event whose cause is not among them is a root. */
export function toTrace(correlation: string, found: readonly EventView[], limit: number): Trace {
  const effects = new Map<number, TraceNode[]>();
  const nodes = new Map<number, TraceNode>();
  const roots: TraceNode[] = [];
  const shown = found.slice(0, limit);
  for (const event of shown) {
    // A cause always has a lower id, so its node exists by now.
    const cause = event.cause && nodes.get(event.cause.id);
    const own: TraceNode[] = [];
    const node: TraceNode = {
      event,
      afterMs: cause && msBetween(cause.event.created, event.created),
      effects: own,
    };
    nodes.set(event.id, node);
    effects.set(event.id, own);
    (cause ? (effects.get(cause.event.id) ?? roots) : roots).push(node);
  }
  const [first, last] = [shown[0], shown.at(-1)];
  return {
    correlation,
    roots,
    events: shown.length,
    cut: found.length > limit,
    durationMs: first && last ? msBetween(first.created, last.created) : 0,
  };
}

type TraceOptions = { readonly limit?: number | undefined; readonly payload?: boolean | undefined };

const RULES: Rules<TraceOptions> = { limit: LIMIT, payload: FLAG };

export async function trace(
  context: Context,
  correlation: string,
  options: TraceOptions = {},
): Promise<Trace> {
  checkArgument("trace", "correlation", correlation, NAME);
  checkGiven("trace", options, RULES);
  const { limit = DEFAULT_LIMIT, payload = false } = options;
  const oneMore = Math.min(limit, Number.MAX_SAFE_INTEGER - 1) + 1;
  const found = await events(context, { correlation, forward: true, limit: oneMore, payload });
  return toTrace(correlation, found, limit);
}
