/** The events of a trace as a tree, in reading order: each cause before its effects. */
import type { TraceEvent } from "../../api.ts";

export type TreeRow = {
  readonly event: TraceEvent;
  /** The cause, among the same events. */
  readonly parent: TraceEvent | undefined;
  /** Causes above it. */
  readonly depth: number;
  /** For each of the nearest {@link LEVELS} causes, the nearest last: whether the line to its effects goes on below this row. */
  readonly lines: readonly boolean[];
};

/** Levels that are indented. Deeper ones, which loops have, stay at the last and say how deep they are. */
export const LEVELS = 10;

export function treeRows(events: readonly TraceEvent[]): TreeRow[] {
  const byId = new Map(events.map((event) => [event.id, event]));
  const effects = new Map<number | undefined, TraceEvent[]>();
  for (const event of events) {
    const cause = event.parent !== undefined && byId.has(event.parent) ? event.parent : undefined;
    const siblings = effects.get(cause);
    if (siblings) siblings.push(event);
    else effects.set(cause, [event]);
  }
  const rows: TreeRow[] = [];
  // A stack instead of a recursion: a loop makes a chain as deep as the trace is long.
  const roots = effects.get(undefined) ?? [];
  const stack = roots.map((event): TreeRow => ({ event, parent: undefined, depth: 0, lines: [] })).reverse();
  for (let row = stack.pop(); row; row = stack.pop()) {
    rows.push(row);
    const { event, depth, lines } = row;
    const own = effects.get(event.id) ?? [];
    for (const [index, effect] of [...own.entries()].reverse())
      stack.push({
        event: effect,
        parent: event,
        depth: depth + 1,
        lines: [...lines, index < own.length - 1].slice(-LEVELS),
      });
  }
  return rows;
}

export type Scale = "time" | "order";

/** Where each event stands between 0 and 1: by time, or one after the other. */
export function placesOf(
  events: readonly TraceEvent[],
  durationMs: number,
  scale: Scale,
): Map<number, number> {
  const last = Math.max(1, events.length - 1);
  const place = ({ offsetMs }: TraceEvent, index: number): number =>
    scale === "time" && durationMs > 0 ? Math.min(1, Math.max(0, offsetMs / durationMs)) : index / last;
  return new Map(events.map((event, index) => [event.id, place(event, index)]));
}
