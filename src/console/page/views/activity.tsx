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
import { Empty, Failed, SkeletonRows } from "../ui/states.tsx";
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
        <div className="scroll">
          <table className="table cards">
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Who</th>
                <th scope="col">What</th>
                <th scope="col">Store</th>
                <th scope="col" className="number">
                  Changed
                </th>
                <th scope="col">Outcome</th>
              </tr>
            </thead>
            <tbody>
              {data ? (
                data.entries.map((entry) => <Entry key={`${entry.at} ${entry.what}`} entry={entry} />)
              ) : (
                <SkeletonRows rows={4} columns={6} />
              )}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

const Entry = ({ entry: { at, who, what, store, count, outcome } }: { readonly entry: AuditEntry }) => (
  <tr>
    <td data-label="When">
      <Time at={at} />
    </td>
    <td data-label="Who">{who}</td>
    <th scope="row" className="break">
      {what}
    </th>
    <td data-label="Store">{store}</td>
    <td data-label="Changed" className="number">
      {integer(count)}
    </td>
    <td data-label="Outcome">
      <span className={`badge ${OUTCOMES[outcome]}`}>{outcome}</span>
    </td>
  </tr>
);

/** Records of skipped events, from whatever they were skipped with: they are in the store. */
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
        <div className="scroll">
          <table className="table cards">
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Reaction</th>
                <th scope="col">Event</th>
                <th scope="col">By</th>
                <th scope="col">Reason</th>
              </tr>
            </thead>
            <tbody>
              {data ? (
                data.skipped.map(({ stream, event, by, reason, skippedAt }) => (
                  <tr key={`${stream} ${event.id} ${skippedAt}`}>
                    <td data-label="When">
                      <Time at={skippedAt} />
                    </td>
                    <th scope="row">
                      <Link className="break" to={href(["reactions"], { reaction: stream })}>
                        {stream}
                      </Link>
                    </th>
                    <td data-label="Event">
                      <EventRefLink event={event} />
                    </td>
                    <td data-label="By">{by}</td>
                    <td data-label="Reason" className="break">
                      {reason}
                    </td>
                  </tr>
                ))
              ) : (
                <SkeletonRows rows={3} columns={5} />
              )}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
