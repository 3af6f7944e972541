import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { EventView, LogEvents } from "../../../api.ts";
import { get, type Query } from "../../data/client.ts";
import { useConnection } from "../../data/connection.ts";
import { useLive } from "../../data/live.ts";
import { type FeedState, LogFeed } from "../../data/log-feed.ts";

const PAGE = 200;

/** Number of new events that the list does not show yet. `isBound`: at most so many, because the live tail left some out. */
export type Waiting = { readonly events: number; readonly isBound: boolean };
export const NONE_WAITING: Waiting = { events: 0, isBound: false };

export type Feed = {
  readonly feed: LogFeed;
  readonly state: FeedState;
  readonly waiting: Waiting;
  /** Called when the list shows them: none is waiting then. */
  readonly seen: () => void;
  readonly showNewest: () => void;
};

/** The log by a filter, from `at` or the newest event on; with `live`, new events are added at the top. */
export function useFeed(query: Query, at: number | undefined, live: boolean, isTop: () => boolean): Feed {
  const key = JSON.stringify(query);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` is the query
  const feed = useMemo(
    () => new LogFeed((cursor, signal) => get("GET /api/log", { ...query, ...cursor, limit: PAGE }, signal)),
    [key],
  );
  const state = useSyncExternalStore(feed.subscribe, feed.state);
  const [waiting, setWaiting] = useState(NONE_WAITING);
  const position = useRef<number>(undefined);
  const begin = useRef(at);
  begin.current = at;

  useEffect(() => {
    setWaiting(NONE_WAITING);
    position.current = undefined;
    void feed.seek(begin.current === undefined ? undefined : begin.current + 1);
    return () => feed.stop();
  }, [feed]);

  const { recoveries } = useConnection();
  const seen = useRef(recoveries);
  useEffect(() => {
    if (seen.current === recoveries) return;
    seen.current = recoveries;
    if (feed.state().rows.length === 0)
      void feed.seek(begin.current === undefined ? undefined : begin.current + 1);
    else feed.retry();
  }, [feed, recoveries]);

  const ready = state.loading !== "start" && !state.error;
  const take = (events: readonly EventView[], upTo: number) => {
    position.current = upTo;
    if (isTop() && feed.state().atTop) {
      feed.push([...events].reverse(), upTo);
      setWaiting(NONE_WAITING);
    } else {
      feed.hold(upTo);
      setWaiting((before) => ({ ...before, events: before.events + events.length }));
    }
  };
  useLive<LogEvents>(
    "/api/log/live",
    live && ready ? query : undefined,
    ["events", "gap"],
    {
      events: ({ events, position: upTo }) => take(events, upTo),
      gap: ({ after, upTo }) => {
        position.current = upTo;
        if (isTop() && feed.state().atTop) feed.leaveOut(upTo);
        // Of the ids that are left out, some may have no event, or one that the filter does not match.
        else setWaiting((before) => ({ events: before.events + (upTo - after), isBound: true }));
      },
    },
    () => position.current ?? feed.state().newer,
  );
  const seenNow = useCallback(() => setWaiting(NONE_WAITING), []);
  return {
    feed,
    state,
    waiting,
    seen: seenNow,
    showNewest: () => void feed.seek().then(() => setWaiting(NONE_WAITING)),
  };
}
