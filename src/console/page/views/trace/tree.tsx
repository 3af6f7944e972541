import { Repeat } from "lucide-react";
import { duration, integer } from "../../data/format.ts";
import { LEVELS, type Scale, type TreeRow } from "../../data/trace-tree.ts";
import { EventLink, nameOf, StreamLink } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { Table } from "../../ui/table.tsx";

const WORDS: Readonly<Record<Scale, { readonly bar: string; readonly head: string }>> = {
  time: {
    bar: "A bar is the wait since the cause",
    head: "Wait since the cause, on the time axis of the trace",
  },
  order: {
    bar: "A bar leads from the cause to its effect, in order of the log",
    head: "Distance from the cause, in events",
  },
};

/** The events in the order of their causes, each with how long its reaction took to commit it. */
export function Tree({
  rows,
  places,
  scale,
  chosen,
}: {
  readonly rows: readonly TreeRow[];
  readonly places: ReadonlyMap<number, number>;
  readonly scale: Scale;
  readonly chosen: number;
}) {
  return (
    <Panel title="Causes and effects" aside={<span className="muted">{WORDS[scale].bar}</span>}>
      <Table
        className="tree"
        columns={[
          { head: "Event", kind: "name", cell: (row) => <TreeEvent row={row} /> },
          {
            head: "Stream",
            column: "tree-stream",
            cell: ({ event: { stream, version } }) => (
              <>
                <StreamLink stream={stream} /> <span className="muted">v{version}</span>
              </>
            ),
          },
          { head: "Since start", kind: "number", cell: ({ event }) => duration(event.offsetMs) },
          {
            head: "Wait",
            kind: "number",
            cell: ({ event: { afterMs } }) => (afterMs === undefined ? "" : duration(afterMs)),
          },
          {
            head: WORDS[scale].head,
            kind: "graphic",
            column: "tree-bar",
            cell: (row) => <Wait row={row} places={places} />,
          },
        ]}
        rows={rows}
        keyOf={({ event }) => event.id}
        isSelected={({ event }) => event.id === chosen}
      />
    </Panel>
  );
}

const TreeEvent = ({ row: { event, depth, lines } }: { readonly row: TreeRow }) => (
  <span className="tree-event">
    {lines.map((goesOn, level) => (
      <span
        // biome-ignore lint/suspicious/noArrayIndexKey: a level has no other name
        key={level}
        className={`tree-level${goesOn ? " goes-on" : ""}${level === lines.length - 1 ? " own" : ""}`}
      />
    ))}
    <span className="tree-words">
      <EventLink id={event.id}>
        <strong>{nameOf(event.name)}</strong>
      </EventLink>{" "}
      <span className="muted nowrap">#{integer(event.id)}</span>
      {depth > LEVELS && <span className="badge">level {depth}</span>}
      {event.loop > 0 && (
        <span className="badge warn">
          <Repeat size={11} aria-hidden="true" /> loop ×{integer(event.loop)}
        </span>
      )}
      {event.actor !== undefined && (
        <span className="muted">
          {" "}
          {event.action === undefined ? "" : `${event.action} `}by {event.actor}
        </span>
      )}
    </span>
  </span>
);

function Wait({
  row: { event, parent },
  places,
}: {
  readonly row: TreeRow;
  readonly places: ReadonlyMap<number, number>;
}) {
  const end = places.get(event.id) ?? 0;
  const start = parent ? (places.get(parent.id) ?? end) : end;
  return (
    <span className="tree-track" aria-hidden="true">
      <span
        className={`tree-wait${event.loop > 0 ? " loop" : ""}`}
        style={{ left: `${start * 100}%`, width: `${Math.max(0, end - start) * 100}%` }}
      />
      <span className="tree-dot" style={{ left: `${end * 100}%` }} />
    </span>
  );
}
