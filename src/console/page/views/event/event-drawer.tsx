/** One event beside any view: what it holds, what caused it, and what it caused. */
import { useQuery } from "@tanstack/react-query";
import { ArrowDown, ArrowUp, GitBranch } from "lucide-react";
import type { EventDetail, EventRef } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { duration, integer, plural } from "../../data/format.ts";
import { href, useAddress } from "../../router.ts";
import { Drawer } from "../../ui/drawer.tsx";
import { Json } from "../../ui/json.tsx";
import { EventRefLink, Link, nameOf, StreamLink, useHere } from "../../ui/link.tsx";
import { Failed, Notice, Skeleton } from "../../ui/states.tsx";
import { Ago, Time } from "../../ui/time.tsx";
import { PersonalData } from "./personal-data.tsx";

export function EventDrawer() {
  const { params } = useAddress();
  const id = params.get("event");
  return id === null ? null : <EventPanel id={id} />;
}

function EventPanel({ id }: { readonly id: string }) {
  const { store } = useConsole();
  const { data, error, refetch } = useQuery<EventDetail, CallError>({
    queryKey: ["event", store.id, id],
    queryFn: ({ signal }) => get("GET /api/event/:id", { id, store: store.id }, signal),
    staleTime: 10_000,
  });
  const shown = Number.isSafeInteger(Number(id)) ? `#${integer(Number(id))}` : id;
  return (
    <Drawer
      param="event"
      label="event"
      title={
        <>
          <span className="muted">{shown}</span> {data && nameOf(data.event.name)}
        </>
      }
      tools={data && <Neighbours detail={data} />}
    >
      {error ? (
        error.code === "not-found" ? (
          <Notice tone="warn">
            The log holds no event {shown}. It was truncated, or its id was never used: ids have gaps.
          </Notice>
        ) : (
          <Failed error={error} retry={() => void refetch()} />
        )
      ) : data ? (
        <Detail detail={data} />
      ) : (
        <EventSkeleton />
      )}
    </Drawer>
  );
}

/** The events next to it in its stream. */
function Neighbours({ detail: { previous, next } }: { readonly detail: EventDetail }) {
  const older = useHere({ event: previous && String(previous.id) });
  const newer = useHere({ event: next && String(next.id) });
  return (
    <>
      {previous && (
        <Link className="icon-button" to={older} aria-label="Previous event of the stream" title="Previous">
          <ArrowDown size={16} aria-hidden="true" />
        </Link>
      )}
      {next && (
        <Link className="icon-button" to={newer} aria-label="Next event of the stream" title="Next">
          <ArrowUp size={16} aria-hidden="true" />
        </Link>
      )}
    </>
  );
}

const EventSkeleton = () => (
  <div className="event-skeleton">
    {[150, 220, 180, 120, 260].map((width) => (
      <Skeleton key={width} width={width} />
    ))}
  </div>
);

function Detail({ detail }: { readonly detail: EventDetail }) {
  const { event, dates, cause, causeGone, effects, effectsCut } = detail;
  return (
    <>
      <dl className="facts">
        <dt>Stream</dt>
        <dd>
          <StreamLink stream={event.stream} /> <span className="muted nowrap">version {event.version}</span>
        </dd>
        <dt>Committed</dt>
        <dd>
          <Time at={event.created} ms />{" "}
          <span className="muted">
            (<Ago at={event.created} />)
          </span>
        </dd>
        {event.actor !== undefined && (
          <>
            <dt>Actor</dt>
            <dd>
              <Link to={href(["log"], { actor: event.actor })}>{event.actor}</Link>
            </dd>
          </>
        )}
        {event.action !== undefined && (
          <>
            <dt>Action</dt>
            <dd className="mono">{event.action}</dd>
          </>
        )}
        <dt>Correlation</dt>
        <dd>
          <Link to={href(["trace"], { correlation: event.correlation, event: String(event.id) })}>
            <GitBranch size={13} aria-hidden="true" /> <span className="mono">{event.correlation}</span>
          </Link>
        </dd>
      </dl>

      <h3>Data</h3>
      <Json value={event.data} dates={dates} label="the event's data" />
      {event.personal && <PersonalData id={event.id} />}

      <h3>Cause</h3>
      {cause ? (
        <Related event={cause} created={event.created} />
      ) : (
        <p className="muted">
          {causeGone
            ? "A reaction to an event that the log does not hold any more."
            : event.action === undefined
              ? "Not recorded."
              : `The action ${event.action}, not a reaction.`}
        </p>
      )}

      <h3>
        Effects {effects.length > 0 && <span className="muted">{plural(effects.length, "event")}</span>}
      </h3>
      {effects.length === 0 && <p className="muted">No reaction committed anything because of it.</p>}
      <ul className="related">
        {effects.map((effect) => (
          <li key={effect.id}>
            <Related event={effect} created={event.created} />
          </li>
        ))}
      </ul>
      {effectsCut && <p className="muted">There may be more.</p>}
    </>
  );
}

const Related = ({
  event,
  created,
}: {
  readonly event: EventRef;
  /** When the event that is shown was committed. */
  readonly created: string;
}) => (
  <div className="related-event">
    <EventRefLink event={event} />
    <span className="muted nowrap">
      {duration(Math.abs(Date.parse(created) - Date.parse(event.created)))}{" "}
      {event.created < created ? "earlier" : "later"}
    </span>
  </div>
);
