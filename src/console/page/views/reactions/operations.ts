/** The operations on subscriptions, and when each is possible. */
import { CalendarClock, Gauge, type LucideIcon, RotateCcw, SkipForward, Undo2, Unlink } from "lucide-react";
import type { Action, ActionType, Count, Reaction, Selection } from "../../../api.ts";

export type Chosen = {
  readonly on: Selection;
  /** The chosen reactions that are loaded. If all that match a filter were chosen, there may be more. */
  readonly reactions: readonly Reaction[];
  readonly count: Count;
};

export type Operation = {
  readonly type: ActionType;
  readonly label: string;
  readonly icon: LucideIcon;
  /** As the heading of its dialog. */
  readonly title: string;
  readonly dangerous: boolean;
  /** Why the operation is not possible for these; undefined if it is. */
  readonly refuse: (chosen: Chosen) => string | undefined;
};

const someBlocked = ({ reactions, on }: Chosen): boolean =>
  "filter" in on
    ? on.filter.blocked === true || reactions.some(({ blocked }) => blocked)
    : reactions.some(({ blocked }) => blocked);

export const OPERATIONS: readonly Operation[] = [
  {
    type: "unblock",
    label: "Retry",
    icon: RotateCcw,
    title: "Unblock and try again",
    dangerous: false,
    refuse: (chosen) => (someBlocked(chosen) ? undefined : "None of these is blocked"),
  },
  {
    type: "skip",
    label: "Skip event",
    icon: SkipForward,
    title: "Skip the event that it stands at",
    dangerous: true,
    refuse: (chosen) =>
      "filter" in chosen.on
        ? "Choose them one by one: what is skipped should have been looked at"
        : chosen.reactions.some(({ blocked, next }) => blocked && next)
          ? undefined
          : "None of these is blocked at an event",
  },
  {
    type: "defer",
    label: "Defer",
    icon: CalendarClock,
    title: "Defer",
    dangerous: false,
    refuse: () => undefined,
  },
  {
    type: "prioritize",
    label: "Prioritize",
    icon: Gauge,
    title: "Set the priority",
    dangerous: false,
    refuse: () => undefined,
  },
  {
    type: "reset",
    label: "Reset",
    icon: Undo2,
    title: "Set back to the beginning",
    dangerous: true,
    refuse: () => undefined,
  },
  {
    type: "release",
    label: "Release lease",
    icon: Unlink,
    title: "End the lease",
    dangerous: true,
    refuse: ({ reactions, on }) =>
      "filter" in on || reactions.length !== 1
        ? "Choose one that is leased"
        : reactions[0]?.leasedBy === undefined
          ? "Nobody holds a lease of it"
          : undefined,
  },
];

export type Inputs = {
  readonly until: string | undefined;
  readonly priority: number | undefined;
  readonly reason: string;
};

/** The action as the server takes it; undefined while something is missing. */
export function toAction(type: ActionType, { on, reactions }: Chosen, inputs: Inputs): Action | undefined {
  const { until, priority, reason } = inputs;
  if (type === "unblock" || type === "reset") return { type, on };
  if (type === "defer") return until === undefined ? undefined : { type, on, until };
  if (type === "prioritize") return priority === undefined ? undefined : { type, on, priority };
  if (type === "skip") {
    const events = reactions.flatMap(({ stream, blocked, next }) =>
      blocked && next ? [{ stream, event: next.id }] : [],
    );
    return reason.trim() === "" || events.length === 0 ? undefined : { type, events, reason: reason.trim() };
  }
  const [one] = reactions;
  return one?.leasedBy === undefined ? undefined : { type, stream: one.stream, holder: one.leasedBy };
}
