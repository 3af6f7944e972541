/** The picture of a trace: a lane per stream, a dot per event, a line from each cause to its effects. */
import { useEffect, useRef, useState } from "react";
import type { Trace, TraceEvent } from "../../../api.ts";
import { duration } from "../../data/format.ts";
import type { Scale } from "../../data/trace-tree.ts";
import { setParams } from "../../router.ts";
import { nameOf, StreamLink } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";

const LANE = 30;
const SIDE = 16;
const TICKS = 5;

function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    if (!element.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(element.current);
    return () => watch.disconnect();
  }, []);
  return { element, width };
}

export function Lanes({
  trace,
  places,
  scale,
  chosen,
}: {
  readonly trace: Trace;
  readonly places: ReadonlyMap<number, number>;
  readonly scale: Scale;
  readonly chosen: number;
}) {
  const { events, streams, durationMs } = trace;
  const { element, width } = useWidth();
  const lane = new Map(streams.map((stream, index) => [stream, index]));
  const at = (event: TraceEvent) => ({
    x: SIDE + (places.get(event.id) ?? 0) * Math.max(1, width - 2 * SIDE),
    y: (lane.get(event.stream) ?? 0) * LANE + LANE / 2,
  });
  const byId = new Map(events.map((event) => [event.id, event]));
  const height = streams.length * LANE;
  return (
    <Panel
      title="By stream"
      aside={
        <label className="scale-choice">
          <span className="muted">Across</span>
          <select
            value={scale}
            // Events of the same millisecond have no length of time to be drawn on.
            disabled={durationMs <= 0}
            onChange={({ target }) =>
              setParams({ scale: target.value === "order" ? "order" : undefined }, { replace: true })
            }
          >
            <option value="time">Time</option>
            <option value="order">Order in the log</option>
          </select>
        </label>
      }
    >
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard */}
      <section className="lanes" tabIndex={0} aria-label="Streams">
        <ul className="lane-names">
          {streams.map((stream) => (
            <li key={stream} className="clip" title={stream}>
              <StreamLink stream={stream} />
            </li>
          ))}
        </ul>
        <div className="lane-plot" ref={element}>
          <svg
            width={width}
            height={height}
            role="img"
            aria-label={`Events by stream, ${scale === "time" ? "over time" : "in order of the log"}. The tree below has the same in words.`}
          >
            {streams.map((stream, index) => (
              <line
                key={stream}
                className="lane-line"
                x1={0}
                x2={width}
                y1={index * LANE + LANE / 2}
                y2={index * LANE + LANE / 2}
              />
            ))}
            {events.map((event) => {
              const cause = event.parent === undefined ? undefined : byId.get(event.parent);
              return (
                cause && (
                  <path
                    key={event.id}
                    className={`lane-cause${event.loop > 0 ? " loop" : ""}`}
                    d={curve(at(cause), at(event))}
                  />
                )
              );
            })}
            {events.map((event) => {
              const { x, y } = at(event);
              const classes = `lane-event${event.parent === undefined ? " root" : ""}${event.loop > 0 ? " loop" : ""}${event.id === chosen ? " chosen" : ""}`;
              return (
                // biome-ignore lint/a11y/noStaticElementInteractions: the tree below has a link for it
                <circle
                  key={event.id}
                  className={classes}
                  cx={x}
                  cy={y}
                  r={event.id === chosen ? 7 : 5}
                  onClick={() => setParams({ event: String(event.id) })}
                >
                  <title>{`${nameOf(event.name)} #${event.id}, after ${duration(event.offsetMs)}`}</title>
                </circle>
              );
            })}
          </svg>
        </div>
      </section>
      {scale === "time" && (
        <div className="lane-axis" aria-hidden="true">
          {Array.from({ length: TICKS }, (_, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a tick has no other name
            <span key={index}>{index === 0 ? "0" : duration((durationMs * index) / (TICKS - 1))}</span>
          ))}
        </div>
      )}
    </Panel>
  );
}

type Point = { readonly x: number; readonly y: number };

/** Leaves to the right and arrives from the left; within a lane it bends, so that it is seen. */
function curve(from: Point, to: Point): string {
  const bend = Math.max(14, (to.x - from.x) / 2);
  if (from.y === to.y) {
    const top = from.y - 11;
    return `M${from.x},${from.y} C${from.x + 6},${top} ${to.x - 6},${top} ${to.x},${to.y}`;
  }
  return `M${from.x},${from.y} C${from.x + bend},${from.y} ${to.x - bend},${to.y} ${to.x},${to.y}`;
}
