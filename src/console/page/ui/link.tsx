/** Links inside the console: addresses that can be opened in a tab of their own, and that do not load the page anew. */
import type { AnchorHTMLAttributes, MouseEvent, ReactNode } from "react";
import type { EventRef } from "../../api.ts";
import { integer } from "../data/format.ts";
import { changed, go, href, type Params, useAddress } from "../router.ts";

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & { readonly to: string };

export function Link({ to, onClick, ...rest }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    const elsewhere = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (event.defaultPrevented || elsewhere) return;
    event.preventDefault();
    go(to);
  };
  return <a {...rest} href={to} onClick={follow} />;
}

/** The current address with other parameters. */
export function useHere(changes: Params): string {
  return changed(useAddress(), changes);
}

export function EventLink({ id, children }: { readonly id: number; readonly children?: ReactNode }) {
  const to = useHere({ event: String(id) });
  return <Link to={to}>{children ?? `#${integer(id)}`}</Link>;
}

export const StreamLink = ({ stream }: { readonly stream: string }) => (
  <Link className="break" to={href(["stream"], { stream })}>
    {stream}
  </Link>
);

/** An event with its name, and its place in its stream. */
export const EventRefLink = ({ event }: { readonly event: EventRef }) => (
  <span className="event-ref">
    <EventLink id={event.id} /> <strong>{nameOf(event.name)}</strong>{" "}
    <span className="muted break">
      {event.stream} v{event.version}
    </span>
  </span>
);

/** Snapshots and tombstones by what they are. */
export const nameOf = (name: string): string =>
  name === "__snapshot__" ? "Snapshot" : name === "__tombstone__" ? "Tombstone" : name;
