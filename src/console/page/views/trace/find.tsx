import { useQuery } from "@tanstack/react-query";
import type { FormEvent } from "react";
import type { EventView, LogPage } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { integer } from "../../data/format.ts";
import { go, href } from "../../router.ts";
import { Link, nameOf } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { Empty, Failed } from "../../ui/states.tsx";
import { type Column, Table } from "../../ui/table.tsx";
import { Ago } from "../../ui/time.tsx";

const NEWEST = 500;
const SHOWN = 50;

type Recent = {
  readonly correlation: string;
  readonly events: number;
  readonly streams: number;
  readonly first: EventView;
  readonly newest: EventView;
};

/** The correlations of the newest events, the newest first. */
function recentOf(events: readonly EventView[]): Recent[] {
  const groups = new Map<string, EventView[]>();
  for (const event of events) {
    const group = groups.get(event.correlation);
    if (group) group.push(event);
    else groups.set(event.correlation, [event]);
  }
  return [...groups].flatMap(([correlation, group]) => {
    const [newest, first] = [group[0], group.at(-1)];
    if (!newest || !first) return [];
    const streams = new Set(group.map(({ stream }) => stream)).size;
    return [{ correlation, events: group.length, streams, first, newest }];
  });
}

const COLUMNS: readonly Column<Recent>[] = [
  {
    head: "Correlation",
    kind: "name",
    cell: ({ correlation }) => (
      <Link className="mono break" to={href(["trace"], { correlation })}>
        {correlation}
      </Link>
    ),
  },
  {
    head: "Began with",
    cell: ({ first }) => (
      <span>
        {nameOf(first.name)} <span className="muted break">{first.stream}</span>
      </span>
    ),
  },
  { head: "Events", kind: "number", cell: ({ events }) => integer(events) },
  { head: "Streams", kind: "number", cell: ({ streams }) => integer(streams) },
  { head: "Newest", cell: ({ newest }) => <Ago at={newest.created} /> },
];

export function FindTrace() {
  const { store } = useConsole();
  const { data, error, refetch } = useQuery<LogPage, CallError>({
    queryKey: ["recent", store.id],
    queryFn: ({ signal }) => get("GET /api/log", { store: store.id, limit: NEWEST }, signal),
  });
  const open = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const correlation = String(new FormData(event.currentTarget).get("correlation") ?? "").trim();
    if (correlation !== "") go(href(["trace"], { correlation }));
  };
  const recent = recentOf(data?.events ?? []).slice(0, SHOWN);
  return (
    <>
      <div className="view-head">
        <h1>Traces</h1>
      </div>
      <form className="toolbar find-stream" onSubmit={open}>
        <label className="field">
          Correlation
          <input type="search" name="correlation" spellCheck={false} />
        </label>
        <button type="submit" className="button">
          Open
        </button>
      </form>
      <Panel title="Recent" aside={<span className="muted">Among the newest {integer(NEWEST)} events</span>}>
        {error && !data ? (
          <Failed error={error} retry={() => void refetch()} />
        ) : data && recent.length === 0 ? (
          <Empty title="The log is empty" />
        ) : (
          <Table
            columns={COLUMNS}
            rows={data && recent}
            keyOf={({ correlation }) => correlation}
            skeletons={8}
            cards
          />
        )}
      </Panel>
    </>
  );
}
