import { Repeat } from "lucide-react";
import { duration, integer } from "../../data/format.ts";
import { LEVELS, type TreeRow } from "../../data/trace-tree.ts";
import { EventLink, nameOf, StreamLink } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";

/** The events in the order of their causes, each with how long its reaction took to commit it. */
export function Tree({
  rows,
  places,
  chosen,
}: {
  readonly rows: readonly TreeRow[];
  readonly places: ReadonlyMap<number, number>;
  readonly chosen: number;
}) {
  return (
    <Panel
      title="Causes and effects"
      aside={<span className="muted">A bar is the wait since the cause</span>}
    >
      <div className="scroll">
        <table className="table tree">
          <thead>
            <tr>
              <th scope="col">Event</th>
              <th scope="col" className="tree-stream">
                Stream
              </th>
              <th scope="col" className="number">
                Since start
              </th>
              <th scope="col" className="number">
                Wait
              </th>
              <th scope="col" className="tree-bar">
                <span className="visually-hidden">Wait, on the time of the trace</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <TreeEntry key={row.event.id} row={row} places={places} chosen={row.event.id === chosen} />
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function TreeEntry({
  row: { event, parent, depth, lines },
  places,
  chosen,
}: {
  readonly row: TreeRow;
  readonly places: ReadonlyMap<number, number>;
  readonly chosen: boolean;
}) {
  const { id, name, stream, version, offsetMs, afterMs, loop, actor, action } = event;
  const end = places.get(id) ?? 0;
  const start = parent ? (places.get(parent.id) ?? end) : end;
  return (
    <tr aria-selected={chosen}>
      <th scope="row">
        <span className="tree-event">
          {lines.map((goesOn, level) => (
            <span
              // biome-ignore lint/suspicious/noArrayIndexKey: a level has no other name
              key={level}
              className={`tree-level${goesOn ? " goes-on" : ""}${level === lines.length - 1 ? " own" : ""}`}
            />
          ))}
          <span className="tree-words">
            <EventLink id={id}>
              <strong>{nameOf(name)}</strong>
            </EventLink>{" "}
            <span className="muted nowrap">#{integer(id)}</span>
            {depth > LEVELS && <span className="badge">level {depth}</span>}
            {loop > 0 && (
              <span className="badge warn">
                <Repeat size={11} aria-hidden="true" /> loop ×{integer(loop)}
              </span>
            )}
            {actor !== undefined && (
              <span className="muted">
                {" "}
                {action === undefined ? "" : `${action} `}by {actor}
              </span>
            )}
          </span>
        </span>
      </th>
      <td className="tree-stream">
        <StreamLink stream={stream} /> <span className="muted">v{version}</span>
      </td>
      <td className="number">{duration(offsetMs)}</td>
      <td className="number">{afterMs === undefined ? "" : duration(afterMs)}</td>
      <td className="tree-bar">
        <span className="tree-track" aria-hidden="true">
          <span
            className={`tree-wait${loop > 0 ? " loop" : ""}`}
            style={{ left: `${start * 100}%`, width: `${Math.max(0, end - start) * 100}%` }}
          />
          <span className="tree-dot" style={{ left: `${end * 100}%` }} />
        </span>
      </td>
    </tr>
  );
}
