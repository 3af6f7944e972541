import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { EventView, LogEvents } from "../../../api.ts";
import { get, type Query } from "../../data/client.ts";
import { useConnection } from "../../data/connection.ts";
import { useLive } from "../../data/live.ts";
import { type FeedState, LogFeed } from "../../data/log-feed.ts";

const PAGE = 200;

export type Feed = {
  readonly feed: LogFeed;
  readonly state: FeedState;
  /** Number of new events that the list does not show yet. */
  readonly waiting: number;
  /** Called when the list shows them: `waiting` becomes 0. */
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
  const [waiting, setWaiting] = useState(0);
  const position = useRef<number>(undefined);
  const begin = useRef(at);
  begin.current = at;

  useEffect(() => {
    setWaiting(0);
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
      setWaiting(0);
    } else {
      feed.hold(upTo);
      setWaiting((before) => before + events.length);
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
        else setWaiting((before) => before + (upTo - after));
      },
    },
    () => position.current ?? feed.state().newer,
  );
  const seenNow = useCallback(() => setWaiting(0), []);
  return {
    feed,
    state,
    waiting,
    seen: seenNow,
    showNewest: () => void feed.seek().then(() => setWaiting(0)),
  };
}
