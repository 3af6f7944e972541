import { LockKeyhole } from "lucide-react";
import { memo } from "react";
import type { EventView } from "../../../api.ts";
import { integer, localTime } from "../../data/format.ts";
import { changed, go, href, useAddress } from "../../router.ts";
import { Link, nameOf } from "../../ui/link.tsx";

/** One event: a link that opens it. The row as a whole can be clicked too. */
export const Row = memo(function Row({
  event,
  top,
  height,
  chosen,
}: {
  readonly event: EventView;
  readonly top: number;
  readonly height: number;
  readonly chosen: boolean;
}) {
  const to = changed(useAddress(), { event: String(event.id) });
  const special = event.name.startsWith("__");
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the link in it has the keys
    <li
      className={`log-row${chosen ? " chosen" : ""}`}
      style={{ transform: `translateY(${top}px)`, height }}
      data-top={top}
      data-id={event.id}
      onClick={(click) => {
        if (!(click.target instanceof Element && click.target.closest("a"))) go(to);
      }}
    >
      <Link to={to} className="log-id">
        {integer(event.id)}
      </Link>
      <time className="log-time" dateTime={event.created} title={event.created}>
        {localTime(event.created, { ms: true })}
      </time>
      <span className={`log-name clip${special ? " special" : ""}`} title={event.name}>
        {nameOf(event.name)}
      </span>
      <span className="log-stream clip">
        <Link to={href(["stream"], { stream: event.stream })} title={event.stream} tabIndex={-1}>
          {event.stream}
        </Link>
        <span className="muted"> v{event.version}</span>
      </span>
      <span className="log-actor clip">
        {event.actor ?? (event.cause && <span className="muted">reaction to {event.cause.name}</span>)}
      </span>
      <span className="log-keys muted clip mono">
        {event.personal && (
          <>
            <LockKeyhole size={12} aria-hidden="true" />
            <span className="visually-hidden">with personal data, </span>
          </>
        )}
        {event.keys.join(", ")}
      </span>
    </li>
  );
});
