import { CircleCheck } from "lucide-react";
import type { Reaction } from "../../../api.ts";
import { counted, duration, integer } from "../../data/format.ts";
import { href } from "../../router.ts";
import { EventRefLink, Link } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { type Column, Table } from "../../ui/table.tsx";

const ReactionLink = ({ stream }: { readonly stream: string }) => (
  <Link className="break" to={href(["reactions"], { reaction: stream })}>
    {stream}
  </Link>
);

const nextEvent = ({ next }: Reaction) => (next ? <EventRefLink event={next} /> : "—");

const BLOCKED: readonly Column<Reaction>[] = [
  { head: "Reaction", kind: "name", cell: ReactionLink },
  { head: "Error", className: "break error-text", cell: ({ error }) => error ?? "none recorded" },
  { head: "Stands at", cell: nextEvent },
  { head: "Tried", kind: "number", cell: ({ attempts }) => `${integer(attempts)}×` },
  { head: "Waiting", kind: "number", cell: ({ waiting }) => counted(waiting) },
];

/** `longest`: the lag, in ms, whose bar has the whole width. */
const lagColumns = (longest: number): readonly Column<Reaction>[] => [
  {
    head: "Reaction",
    kind: "name",
    cell: ({ stream, leasedBy, deferredUntil }) => (
      <>
        <ReactionLink stream={stream} />{" "}
        {leasedBy !== undefined && <span className="badge info">leased</span>}
        {deferredUntil !== undefined && <span className="badge">deferred</span>}
      </>
    ),
  },
  { head: "Lane", cell: ({ lane }) => lane },
  { head: "Waiting", kind: "number", cell: ({ waiting }) => counted(waiting) },
  {
    head: "Lag",
    kind: "number",
    cell: ({ lagMs }) => (lagMs === undefined ? "—" : duration(lagMs)),
  },
  {
    head: "Lag, compared",
    kind: "graphic",
    column: "lag-column",
    cell: ({ lagMs = 0 }) => (
      <span className="bar" style={{ width: `${Math.max(1, (100 * lagMs) / longest)}%` }} />
    ),
  },
  { head: "Next event", cell: nextEvent },
];

/** Reactions that need a person. Renders nothing if there are none. */
export function BlockedReactions({
  reactions = [],
}: {
  readonly reactions?: readonly Reaction[] | undefined;
}) {
  if (reactions.length === 0) return null;
  return (
    <Panel
      title="Blocked reactions"
      className="alarm"
      aside={<Link to={href(["reactions"], { state: "blocked" })}>All blocked</Link>}
    >
      <Table columns={BLOCKED} rows={reactions} keyOf={({ stream }) => stream} cards />
    </Panel>
  );
}

/** Those behind with the lowest watermarks, with bars to compare by. */
export function Lagging({
  reactions,
  someBlocked,
}: {
  readonly reactions: readonly Reaction[] | undefined;
  readonly someBlocked: boolean;
}) {
  const longest = Math.max(1, ...(reactions ?? []).map(({ lagMs }) => lagMs ?? 0));
  return (
    <Panel
      title="Lag by reaction"
      aside={<Link to={href(["reactions"], { state: "behind" })}>All that are behind</Link>}
    >
      {reactions?.length === 0 ? (
        <p className="body all-well">
          <CircleCheck size={16} aria-hidden="true" />{" "}
          {someBlocked ? "Every reaction that is not blocked" : "Every reaction"} has handled all events up to
          its work mark.
        </p>
      ) : (
        <Table columns={lagColumns(longest)} rows={reactions} keyOf={({ stream }) => stream} cards />
      )}
    </Panel>
  );
}
