import { useQuery } from "@tanstack/react-query";
import type { Reaction, ReactionDetail, Skipped } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { counted, duration, integer, plural } from "../../data/format.ts";
import { href, useAddress } from "../../router.ts";
import { Drawer } from "../../ui/drawer.tsx";
import { EventLink, EventRefLink, Link, StreamLink } from "../../ui/link.tsx";
import { Failed, Notice, Skeleton } from "../../ui/states.tsx";
import { Ago, Time } from "../../ui/time.tsx";
import { OperationButtons } from "./action-bar.tsx";
import type { Operation } from "./operations.ts";
import { StateBadges } from "./state-badges.tsx";

const EVERY_MS = 5_000;

type Asking = { readonly onAsk: (operation: Operation, reaction: Reaction) => void };

/** One reaction beside the table: why it stands where it stands, and what can be done. */
export function ReactionDrawer({ onAsk }: Asking) {
  const { params } = useAddress();
  const stream = params.get("reaction");
  // An event that was opened from it is in front.
  if (stream === null || params.get("event") !== null) return null;
  return <ReactionPanel key={stream} stream={stream} onAsk={onAsk} />;
}

function ReactionPanel({ stream, onAsk }: Asking & { readonly stream: string }) {
  const { store } = useConsole();
  const { data, error, refetch } = useQuery<ReactionDetail, CallError>({
    queryKey: ["reaction", store.id, stream],
    queryFn: ({ signal }) => get("GET /api/reaction", { store: store.id, stream }, signal),
    refetchInterval: EVERY_MS,
  });
  return (
    <Drawer param="reaction" label="reaction" title={stream}>
      {error && !data ? (
        error.code === "not-found" ? (
          <Notice tone="warn">
            There is no such subscription: it was never made, or <code>act-drizzle reap</code> or a restore of
            the log deleted it.
          </Notice>
        ) : (
          <Failed error={error} retry={() => void refetch()} />
        )
      ) : data ? (
        <Detail detail={data} onAsk={onAsk} />
      ) : (
        <div className="event-skeleton">
          <Skeleton width={180} />
          <Skeleton width={240} />
          <Skeleton width={160} />
        </div>
      )}
    </Drawer>
  );
}

function Detail({ detail: { reaction, skipped }, onAsk }: Asking & { readonly detail: ReactionDetail }) {
  const chosen = {
    on: { streams: [reaction.stream] },
    reactions: [reaction],
    count: { count: 1, exact: true },
  };
  return (
    <>
      <p>
        <StateBadges reaction={reaction} />
      </p>
      {reaction.blocked && <WhyBlocked reaction={reaction} />}
      <h3>{reaction.blocked ? "The event that it stands at" : "The next event"}</h3>
      {reaction.next ? (
        <p>
          <EventRefLink event={reaction.next} />{" "}
          {reaction.lagMs !== undefined && (
            <span className="muted nowrap">committed {duration(reaction.lagMs)} ago</span>
          )}
        </p>
      ) : (
        <p className="muted">Nothing waits.</p>
      )}
      <div className="drawer-actions" role="toolbar" aria-label={`Actions for ${reaction.stream}`}>
        <OperationButtons chosen={chosen} onAsk={(operation) => onAsk(operation, reaction)} />
      </div>
      <Facts reaction={reaction} />
      <h3>
        Skipped {skipped.length > 0 && <span className="muted">{plural(skipped.length, "event")}</span>}
      </h3>
      {skipped.length === 0 ? (
        <p className="muted">No event was skipped.</p>
      ) : (
        <SkippedEvents skipped={skipped} />
      )}
    </>
  );
}

/** Why it stands still, as its handler said. */
const WhyBlocked = ({ reaction: { error, attempts } }: { readonly reaction: Reaction }) => (
  <div className="notice danger standing">
    <div>
      <p>
        <strong>
          Its handler failed{attempts > 0 && ` ${attempts === 1 ? "once" : `${integer(attempts)} times`}`}. It
          waits for somebody to act.
        </strong>
      </p>
      <p className="mono break">{error ?? "No error was recorded."}</p>
    </div>
  </div>
);

function Facts({ reaction }: { readonly reaction: Reaction }) {
  const { kind, source, lane, priority, at, correlatedAt, waiting, leasedBy, leasedUntil, deferredUntil } =
    reaction;
  return (
    <dl className="facts reaction-facts">
      <dt>Reads</dt>
      <dd>
        {kind === "all" ? (
          "The whole log"
        ) : kind === "stream" && source !== undefined ? (
          <StreamLink stream={source} />
        ) : (
          <>
            Streams like{" "}
            <Link className="mono" to={href(["log"], { stream: source })}>
              {source}
            </Link>
          </>
        )}
      </dd>
      <dt>Target</dt>
      <dd>
        <StreamLink stream={reaction.stream} />
      </dd>
      <dt>Lane</dt>
      <dd>{lane}</dd>
      <dt>Priority</dt>
      <dd>{integer(priority)}</dd>
      <dt>Handled up to</dt>
      <dd>{at < 0 ? "nothing yet" : <EventLink id={at} />}</dd>
      <dt>Work up to</dt>
      <dd>{correlatedAt === undefined ? "none known" : `#${integer(correlatedAt)}`}</dd>
      <dt>Waiting</dt>
      <dd>{counted(waiting)}</dd>
      {leasedBy !== undefined && (
        <>
          <dt>Leased by</dt>
          <dd>
            <span className="mono">{leasedBy}</span>
            {leasedUntil !== undefined && (
              <span className="muted">
                {" "}
                until <Ago at={leasedUntil} />
              </span>
            )}
          </dd>
        </>
      )}
      {deferredUntil !== undefined && (
        <>
          <dt>Not before</dt>
          <dd>
            <Time at={deferredUntil} />
          </dd>
        </>
      )}
    </dl>
  );
}

export const SkippedEvents = ({ skipped }: { readonly skipped: readonly Skipped[] }) => (
  <ul className="related">
    {skipped.map(({ event, by, reason, skippedAt, error }) => (
      <li key={`${event.id} ${skippedAt}`} className="skipped-event">
        <EventRefLink event={event} />
        <p>
          “{reason}” <span className="muted">{by}, </span>
          <span className="muted">
            <Time at={skippedAt} />
          </span>
        </p>
        {error !== undefined && <p className="error-text break">{error}</p>}
      </li>
    ))}
  </ul>
);
