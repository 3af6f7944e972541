/** What was done with this console, and which events operators have skipped. */
import { useQuery } from "@tanstack/react-query";
import { History } from "lucide-react";
import type { Audit, AuditEntry, SkippedList } from "../../api.ts";
import { type CallError, get } from "../data/client.ts";
import { useConsole } from "../data/console.tsx";
import { integer } from "../data/format.ts";
import { href } from "../router.ts";
import { EventRefLink, Link } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { Empty, Failed } from "../ui/states.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const EVERY_MS = 5_000;
const OUTCOMES = { done: "ok", failed: "danger", refused: "warn" } as const;

export function ActivityView() {
  return (
    <>
      <div className="view-head">
        <h1>Activity</h1>
      </div>
      <Done />
      <SkippedEverywhere />
    </>
  );
}

const DONE: readonly Column<AuditEntry>[] = [
  { head: "When", cell: ({ at }) => <Time at={at} /> },
  { head: "Who", cell: ({ who }) => who },
  { head: "What", kind: "name", className: "break", cell: ({ what }) => what },
  { head: "Store", cell: ({ store }) => store },
  { head: "Changed", kind: "number", cell: ({ count }) => integer(count) },
  {
    head: "Outcome",
    cell: ({ outcome }) => <span className={`badge ${OUTCOMES[outcome]}`}>{outcome}</span>,
  },
];

const SKIPPED: readonly Column<SkippedList["skipped"][number]>[] = [
  { head: "When", cell: ({ skippedAt }) => <Time at={skippedAt} /> },
  {
    head: "Reaction",
    kind: "name",
    cell: ({ stream }) => (
      <Link className="break" to={href(["reactions"], { reaction: stream })}>
        {stream}
      </Link>
    ),
  },
  { head: "Event", cell: ({ event }) => <EventRefLink event={event} /> },
  { head: "By", cell: ({ by }) => by },
  { head: "Reason", className: "break", cell: ({ reason }) => reason },
];

function Done() {
  const { session } = useConsole();
  const { data, error, refetch } = useQuery<Audit, CallError>({
    queryKey: ["audit"],
    queryFn: ({ signal }) => get("GET /api/audit", {}, signal),
    refetchInterval: EVERY_MS,
  });
  return (
    <Panel
      title="Done with this console"
      aside={<span className="muted">Since it was started, newest first</span>}
    >
      {error && !data ? (
        <div className="body">
          <Failed error={error} retry={() => void refetch()} />
        </div>
      ) : data?.entries.length === 0 ? (
        <Empty title="Nothing was done yet" icon={<History size={22} aria-hidden="true" />}>
          {session.write
            ? "Actions, and personal data that is revealed, are listed here with who and when."
            : "The console is read-only. Personal data that is revealed is listed here."}
        </Empty>
      ) : (
        <Table columns={DONE} rows={data?.entries} keyOf={({ at, what }) => `${at} ${what}`} cards />
      )}
    </Panel>
  );
}

/** Records of skipped events, whether the console, the command or a program skipped them: the store holds them. */
function SkippedEverywhere() {
  const { store } = useConsole();
  const { data, error, refetch } = useQuery<SkippedList, CallError>({
    queryKey: ["skipped", store.id],
    queryFn: ({ signal }) => get("GET /api/skipped", { store: store.id, limit: 100 }, signal),
    refetchInterval: EVERY_MS,
  });
  return (
    <Panel title="Skipped events" aside={<span className="muted">As recorded in the store</span>}>
      {error && !data ? (
        <div className="body">
          <Failed error={error} retry={() => void refetch()} />
        </div>
      ) : data?.skipped.length === 0 ? (
        <p className="body muted">No event was skipped.</p>
      ) : (
        <Table
          columns={SKIPPED}
          rows={data?.skipped}
          keyOf={({ stream, event, skippedAt }) => `${stream} ${event.id} ${skippedAt}`}
          skeletons={3}
          cards
        />
      )}
    </Panel>
  );
}
