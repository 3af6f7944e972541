/** What one request set going: its events by stream, and as a tree of causes and effects. */
import { useQuery } from "@tanstack/react-query";
import { RotateCw } from "lucide-react";
import { useMemo } from "react";
import type { Trace } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { duration, integer, plural } from "../../data/format.ts";
import { placesOf, type Scale, treeRows } from "../../data/trace-tree.ts";
import { href, setParams, useAddress } from "../../router.ts";
import { Link } from "../../ui/link.tsx";
import { Empty, Failed, Loading, Notice } from "../../ui/states.tsx";
import { FindTrace } from "./find.tsx";
import { Lanes } from "./lanes.tsx";
import { Tree } from "./tree.tsx";

const LIMIT = 500;
const MOST = 2_000;

export function TraceView() {
  const correlation = useAddress().params.get("correlation");
  return correlation === null ? <FindTrace /> : <OneTrace correlation={correlation} key={correlation} />;
}

function OneTrace({ correlation }: { readonly correlation: string }) {
  const { store } = useConsole();
  const { params } = useAddress();
  const limit = params.get("all") === "1" ? MOST : LIMIT;
  const { data, error, refetch } = useQuery<Trace, CallError>({
    queryKey: ["trace", store.id, correlation, limit],
    queryFn: ({ signal }) => get("GET /api/trace", { store: store.id, correlation, limit }, signal),
    placeholderData: (before) => before,
  });
  return (
    <>
      <div className="view-head">
        <h1 className="trace-title break">
          Trace <span className="mono">{correlation}</span>
        </h1>
        {!data && !error && <Loading what="the trace" />}
        <span className="spring" />
        <Link className="button" to={href(["log"], { correlation })}>
          In the log
        </Link>
        <button type="button" className="icon-button" aria-label="Read again" onClick={() => void refetch()}>
          <RotateCw size={15} aria-hidden="true" />
        </button>
      </div>
      {error ? (
        <Failed error={error} retry={() => void refetch()} />
      ) : data && data.events.length === 0 ? (
        <Empty title="No event has this correlation">
          It may have been truncated. <Link to={href(["trace"])}>See recent ones</Link>
        </Empty>
      ) : (
        data && <Shown trace={data} />
      )}
    </>
  );
}

function Shown({ trace }: { readonly trace: Trace }) {
  const { params } = useAddress();
  const { events, streams, cut, durationMs, depth } = trace;
  const scale: Scale = params.get("scale") === "order" || durationMs <= 0 ? "order" : "time";
  const rows = useMemo(() => treeRows(events), [events]);
  const places = useMemo(() => placesOf(events, durationMs, scale), [events, durationMs, scale]);
  const loops = events.filter(({ loop }) => loop > 0).length;
  const chosen = Number(params.get("event") ?? Number.NaN);
  return (
    <>
      <dl className="trace-facts">
        <Fact label="Events" value={`${integer(events.length)}${cut ? "+" : ""}`} />
        <Fact label="Streams" value={integer(streams.length)} />
        <Fact label="From first to last" value={duration(durationMs)} />
        <Fact label="Longest chain" value={integer(depth)} />
        <Fact label="Longest wait" value={longestWait(trace)} />
      </dl>
      {loops > 0 && (
        <Notice tone="warn">
          A loop: {plural(loops, "event")} {loops === 1 ? "has" : "have"} an event of the same name and stream
          among {loops === 1 ? "its" : "their"} causes. A reaction that causes itself never ends.
        </Notice>
      )}
      {cut && (
        <Notice>
          Only the first {integer(events.length)} events are shown.{" "}
          {params.get("all") !== "1" && (
            <button type="button" className="link-button" onClick={() => setParams({ all: "1" })}>
              Show up to {integer(MOST)}
            </button>
          )}
        </Notice>
      )}
      <Lanes trace={trace} places={places} scale={scale} chosen={chosen} />
      <Tree rows={rows} places={places} scale={scale} chosen={chosen} />
    </>
  );
}

const longestWait = ({ events }: Trace): string => {
  const waits = events.flatMap(({ afterMs }) => (afterMs === undefined ? [] : [afterMs]));
  return waits.length === 0 ? "—" : duration(waits.reduce((a, b) => Math.max(a, b), 0));
};

const Fact = ({ label, value }: { readonly label: string; readonly value: string }) => (
  <div>
    <dt>{label}</dt>
    <dd>{value}</dd>
  </div>
);
