import { CircleCheck } from "lucide-react";
import type { Reaction } from "../../../api.ts";
import { counted, duration, integer } from "../../data/format.ts";
import { href } from "../../router.ts";
import { EventRefLink, Link } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { SkeletonRows } from "../../ui/states.tsx";

const ReactionLink = ({ stream }: { readonly stream: string }) => (
  <Link className="break" to={href(["reactions"], { reaction: stream })}>
    {stream}
  </Link>
);

/** Reactions that a person has to look after. Not there if there are none. */
export function Standing({ reactions = [] }: { readonly reactions?: readonly Reaction[] | undefined }) {
  if (reactions.length === 0) return null;
  return (
    <Panel
      title="Blocked reactions"
      className="alarm"
      aside={<Link to={href(["reactions"], { state: "blocked" })}>All blocked</Link>}
    >
      <div className="scroll">
        <table className="table cards">
          <thead>
            <tr>
              <th scope="col">Reaction</th>
              <th scope="col">Error</th>
              <th scope="col">Stands at</th>
              <th scope="col" className="number">
                Tried
              </th>
              <th scope="col" className="number">
                Waiting
              </th>
            </tr>
          </thead>
          <tbody>
            {reactions.map(({ stream, error, next, attempts, waiting }) => (
              <tr key={stream}>
                <th scope="row">
                  <ReactionLink stream={stream} />
                </th>
                <td data-label="Error" className="break error-text">
                  {error ?? "none recorded"}
                </td>
                <td data-label="Stands at">{next ? <EventRefLink event={next} /> : "—"}</td>
                <td data-label="Tried" className="number">
                  {integer(attempts)}×
                </td>
                <td data-label="Waiting" className="number">
                  {counted(waiting)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

/** The furthest behind, with bars to compare by. */
export function Lagging({ reactions }: { readonly reactions: readonly Reaction[] | undefined }) {
  const longest = Math.max(1, ...(reactions ?? []).map(({ lagMs }) => lagMs ?? 0));
  return (
    <Panel
      title="Lag by reaction"
      aside={<Link to={href(["reactions"], { state: "behind" })}>All that are behind</Link>}
    >
      {reactions?.length === 0 ? (
        <p className="body all-well">
          <CircleCheck size={16} aria-hidden="true" /> Every reaction has handled all events up to its work
          mark.
        </p>
      ) : (
        <div className="scroll">
          <table className="table cards">
            <thead>
              <tr>
                <th scope="col">Reaction</th>
                <th scope="col">Lane</th>
                <th scope="col" className="number">
                  Waiting
                </th>
                <th scope="col" className="number">
                  Lag
                </th>
                <th scope="col" className="lag-column">
                  <span className="visually-hidden">Lag, compared</span>
                </th>
                <th scope="col">Next event</th>
              </tr>
            </thead>
            <tbody>
              {reactions === undefined ? (
                <SkeletonRows rows={4} columns={6} />
              ) : (
                reactions.map(({ stream, lane, waiting, lagMs, next, leasedBy, deferredUntil }) => (
                  <tr key={stream}>
                    <th scope="row">
                      <ReactionLink stream={stream} />{" "}
                      {leasedBy !== undefined && <span className="badge info">leased</span>}
                      {deferredUntil !== undefined && <span className="badge">deferred</span>}
                    </th>
                    <td data-label="Lane">{lane}</td>
                    <td data-label="Waiting" className="number">
                      {counted(waiting)}
                    </td>
                    <td data-label="Lag" className="number">
                      {lagMs === undefined ? "—" : duration(lagMs)}
                    </td>
                    <td className="lag-column blank">
                      <span
                        className="bar"
                        style={{ width: `${Math.max(1, (100 * (lagMs ?? 0)) / longest)}%` }}
                      />
                    </td>
                    <td data-label="Next event">{next ? <EventRefLink event={next} /> : "—"}</td>
                  </tr>
                ))
              )}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
