import type { ReactNode } from "react";
import type { Overview } from "../../../api.ts";
import { counted, duration, integer, rate } from "../../data/format.ts";
import { href } from "../../router.ts";
import { Link } from "../../ui/link.tsx";
import { Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/time.tsx";

type Tone = "" | "ok" | "warn" | "danger";

function Tile({
  label,
  value,
  note,
  tone = "",
  to,
}: {
  readonly label: string;
  readonly value: ReactNode;
  readonly note?: ReactNode;
  readonly tone?: Tone;
  readonly to?: string;
}) {
  return (
    <div className={`tile ${tone}`}>
      <dt>{to === undefined ? label : <Link to={to}>{label}</Link>}</dt>
      <dd>
        <span className="tile-value">{value}</span>
        <span className="tile-note">{note}</span>
      </dd>
    </div>
  );
}

/** ms from which a lag is worth a look, and from which it is a worry. */
const SLOW = 10_000;
const STUCK = 60_000;

const lagTone = (ms = 0): Tone => (ms >= STUCK ? "danger" : ms >= SLOW ? "warn" : "");

/** What the tile of the oldest waiting event says beside its figure. Blocked reactions are not among those behind. */
const oldestNote = ({ oldestLagMs, behind, blocked }: Overview): string => {
  if (oldestLagMs !== undefined) return "since its commit";
  if (behind.length > 0) return "No next event was found for those behind";
  return blocked.length > 0 ? "Blocked reactions are not counted" : "Every reaction is up to date";
};

export function Tiles({ data }: { readonly data: Overview | undefined }) {
  const wait = <Skeleton width={64} />;
  const subscriptions = data?.overview.subscriptions;
  const events = data?.overview.events;
  const blocked = subscriptions?.blocked.count ?? 0;
  return (
    <dl className="tiles">
      <Tile
        label="Events per second"
        value={data ? rate(data.rate.now.perSecond) : wait}
        note={data && `${rate(data.rate.minute.perSecond)} over the last minute`}
      />
      <Tile
        label="Oldest waiting event"
        value={data ? (data.oldestLagMs === undefined ? "None" : duration(data.oldestLagMs)) : wait}
        tone={lagTone(data?.oldestLagMs)}
        note={data && oldestNote(data)}
      />
      <Tile
        label="Blocked"
        to={href(["reactions"], { state: "blocked" })}
        value={subscriptions ? counted(subscriptions.blocked) : wait}
        tone={blocked > 0 ? "danger" : ""}
        note={subscriptions && (blocked > 0 ? "standing still" : "No reaction stands still")}
      />
      <Tile
        label="Behind"
        to={href(["reactions"], { state: "behind" })}
        value={subscriptions ? counted(subscriptions.behind) : wait}
        note={subscriptions && `of ${counted(subscriptions.all)} reactions`}
      />
      <Tile
        label="Leased"
        to={href(["reactions"], { state: "leased" })}
        value={subscriptions ? counted(subscriptions.leased) : wait}
        note={subscriptions && `${counted(subscriptions.deferred)} deferred`}
      />
      <Tile
        label="Newest event"
        to={href(["log"])}
        value={events ? (events.lastId === undefined ? "None" : `#${integer(events.lastId)}`) : wait}
        note={
          events && (events.lastCreated === undefined ? "The log is empty" : <Ago at={events.lastCreated} />)
        }
      />
    </dl>
  );
}
