import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowUp, SearchX } from "lucide-react";
import { type KeyboardEvent, type RefObject, useEffect, useLayoutEffect, useRef } from "react";
import { integer, plural } from "../../data/format.ts";
import type { FeedState, LogFeed } from "../../data/log-feed.ts";
import { useAddress } from "../../router.ts";
import { Empty, Failed, Loading, Skeleton } from "../../ui/states.tsx";
import { useNarrow } from "../../ui/use-narrow.ts";
import { Row } from "./row.tsx";
import type { Waiting } from "./use-feed.ts";

const ROW = 31;
const NARROW_ROW = 54;
/** px from the top that count as the top. */
export const TOP = 4;
/** More is loaded when the view is this many rows from an end of the loaded ones. */
const AHEAD = 40;
/** Empty pages of a rare filter after which the user has to ask for more. */
const EMPTY_PAGES = 20;

type Props = {
  readonly feed: LogFeed;
  readonly state: FeedState;
  readonly list: RefObject<HTMLElement | null>;
  readonly filtered: boolean;
  readonly waiting: Waiting;
  readonly onNewest: () => void;
  /** It was scrolled to the newest event. */
  readonly onTop: () => void;
};

export function EventList({ feed, state, list, filtered, waiting, onNewest, onTop }: Props) {
  const { rows, older, atTop, loading, error, empty, shift, start } = state;
  const { params } = useAddress();
  const chosen = Number(params.get("event") ?? Number.NaN);
  const height = useNarrow(620) ? NARROW_ROW : ROW;
  const virtual = useVirtualizer({
    // One more row at the end for {@link End}.
    count: rows.length + 1,
    getScrollElement: () => list.current,
    estimateSize: () => height,
    overscan: 12,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: rows of another height are measured anew
  useEffect(() => virtual.measure(), [height]);

  // Rows that are added or dropped at the top move the others, so the scroll position moves with them.
  const before = useRef({ shift, start, atTop });
  useLayoutEffect(() => {
    const was = before.current;
    before.current = { shift, start, atTop };
    const moved = shift - was.shift;
    if (!list.current) return;
    // A list that shows the newest event goes on showing it.
    const stays = was.atTop && moved > 0 && list.current.scrollTop < TOP;
    if (start !== was.start) list.current.scrollTop = 0;
    else if (moved !== 0 && !stays) list.current.scrollTop += moved * height;
  }, [shift, start, atTop, height, list]);

  const items = virtual.getVirtualItems();
  const [first = 0, last = 0] = [items[0]?.index, items.at(-1)?.index];
  useEffect(() => {
    if (loading || error) return;
    if (last >= rows.length - AHEAD && older !== undefined && empty < EMPTY_PAGES) void feed.loadOlder();
    else if (first <= AHEAD && !atTop && rows.length > 0) void feed.loadNewer();
  }, [feed, first, last, rows.length, older, atTop, loading, error, empty]);

  if (loading === "start" && rows.length === 0) return <ListSkeleton height={height} />;
  if (error && rows.length === 0)
    return (
      <div className="log-list">
        <Failed error={error} retry={() => void feed.seek()} />
      </div>
    );
  const nothing = rows.length === 0 && older === undefined;
  return (
    <div className="log-frame">
      {waiting.events > 0 && (
        <button type="button" className="button main-action new-events" onClick={onNewest}>
          <ArrowUp size={14} aria-hidden="true" /> {waiting.isBound && "up to "}
          {plural(waiting.events, "new event")}
        </button>
      )}
      <section
        className="log-list"
        ref={list}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard
        tabIndex={0}
        aria-label="Events"
        onKeyDown={moveFocus}
        onScroll={({ currentTarget }) => {
          if (atTop && currentTarget.scrollTop < TOP) onTop();
        }}
      >
        <div className="log-columns" aria-hidden="true">
          <span>Id</span>
          <span>Committed</span>
          <span>Event</span>
          <span>Stream</span>
          <span>Actor</span>
          <span>Holds</span>
        </div>
        {nothing ? (
          <Empty
            title={filtered ? "No event matches" : "The log is empty"}
            icon={<SearchX size={22} aria-hidden="true" />}
          >
            {filtered ? "Remove a filter, or widen it." : "Events appear here as they are committed."}
          </Empty>
        ) : (
          <ol style={{ height: virtual.getTotalSize() }} className="log-rows">
            {items.map(({ index, start: top }) => {
              const event = rows[index];
              return event ? (
                <Row key={event.id} event={event} top={top} height={height} chosen={event.id === chosen} />
              ) : (
                <li key="end" className="log-end" style={{ transform: `translateY(${top}px)`, height }}>
                  <End state={state} feed={feed} filtered={filtered} />
                </li>
              );
            })}
          </ol>
        )}
      </section>
    </div>
  );
}

/** Says below the last row whether the log goes on. */
function End({
  state,
  feed,
  filtered,
}: {
  readonly state: FeedState;
  readonly feed: LogFeed;
  readonly filtered: boolean;
}) {
  const { error, older, empty, loading } = state;
  if (error) return <Failed error={error} retry={() => feed.retry()} />;
  if (older === undefined)
    return <span className="muted">{filtered ? "Nothing older matches" : "The log begins here"}</span>;
  if (empty >= EMPTY_PAGES && !loading)
    return (
      <button type="button" className="link-button" onClick={() => void feed.loadOlder()}>
        Nothing down to #{integer(older)}. Search further
      </button>
    );
  return <span className="muted">{empty > 0 ? `Searching below #${integer(older)} …` : "Loading …"}</span>;
}

/** Arrows go from row to row, once one has the focus. */
function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const row = document.activeElement?.closest("li");
  if (step === 0 || !row || !event.currentTarget.contains(row)) return;
  const rows = [...event.currentTarget.querySelectorAll("li")].sort(
    (a, b) => Number(a.dataset.top) - Number(b.dataset.top),
  );
  const next = rows[rows.indexOf(row) + step];
  const link = next?.querySelector("a");
  if (!link) return;
  event.preventDefault();
  link.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

const ListSkeleton = ({ height }: { readonly height: number }) => (
  <div className="log-list">
    <Loading what="events" />
    {Array.from({ length: 14 }, (_, index) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
      <div key={index} className="log-skeleton" style={{ height }}>
        <Skeleton width={70} />
        <Skeleton width={140} />
        <Skeleton width={110 + ((index * 37) % 60)} />
        <Skeleton width={120 + ((index * 53) % 90)} />
      </div>
    ))}
  </div>
);
