/** The log, its live tail, and names to choose from. */
import type { Connection } from "./overview.ts";
import type { EventView } from "./shared.ts";

// --- GET /api/log?store=&… ---------------------------------------------------------------------------------------

/*
 * Query parameters of `/api/log` and `/api/log/live`. All are optional.
 *
 * - `stream` a pattern (`^order-` at the start of the name, `order` anywhere in it); with `exact=1` a name
 * - `name` may be given several times
 * - `correlation`, `actor` (id or name of who acted) are exact
 * - `since`, `until`: ISO times, exclusive
 * - `payload=1`: with `data`
 * - `before` / `after`: an id, exclusive: give `before` to go back in time, `after` to go forward. Neither: the newest.
 * - `limit`: default 100, at most 500
 *
 * `/api/log?before=N` works for any N. So without a filter, a scroll bar can jump to any place in the log.
 */

/** Always newest first. A rare filter is searched in parts, so a page may be short or empty without being the last. */
export type LogPage = {
  readonly events: readonly EventView[];
  /** `before` of the next older page; absent if nothing older matches. */
  readonly older: number | undefined;
  /** `after` of the next newer page; absent only for an empty log. */
  readonly newer: number | undefined;
  /** The range of ids that was searched for this page, inclusive. */
  readonly searched: { readonly from: number; readonly to: number };
  /** The log's ends now. */
  readonly firstId: number | undefined;
  readonly lastId: number | undefined;
};

/**
 * SSE of `/api/log/live`, with the parameters of `/api/log` except `before` and `limit`; `after` is where it
 * begins (default: now). An event's `id:` is the position, so that a browser that reconnects continues there.
 */
export type LogEvents = {
  /** At most every 250 ms, newest last. `position`: the id up to which the log was looked through. */
  readonly events: { readonly events: readonly EventView[]; readonly position: number };
  /** The log grows faster than the page reads it. The ids in `(after, upTo]` were skipped. */
  readonly gap: { readonly after: number; readonly upTo: number };
  readonly connection: Connection;
};

// --- GET /api/names?store=  ---------------------------------------------------------------------------------------

/** Names of events and lanes of subscriptions, for choosing from: at most 500 each, in order. */
export type NamesInUse = { readonly names: readonly string[]; readonly lanes: readonly string[] };

// --- GET /api/streams?store=&prefix=&after=&limit=  ---------------------------------------------------------------

/** Names of streams in byte order that begin with `prefix`, after `after`. At most 200, default 20. */
export type Streams = { readonly streams: readonly string[]; readonly next: string | undefined };
