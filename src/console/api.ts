/**
 * What the console's server and its page say to each other: every route, its query parameters, its response, the
 * server-sent events, and the actions. Types only, so that the page can import it.
 *
 * Rules for all routes:
 * - The browser sends the cookie that it got for the token of the printed URL (`GET /?token=…`). Without: 401.
 * - Each `POST` needs the headers `content-type: application/json` and `x-act-console: 1`. Without, or from another
 *   site: 403.
 * - `store` selects the store by `StoreInfo.id`. Left out: `Session.defaultStore`.
 * - Times are ISO 8601 strings. What is undefined on the server is absent in JSON.
 * - A failure has a status of 400 or more, and a {@link Failure} as its body.
 * - Lists have a limit; what is counted is counted up to a limit ({@link Count}: not `exact` is "more than `count`").
 */
import type {
  AppendLock as AdminAppendLock,
  EventRef as AdminEventRef,
  EventView as AdminEventView,
  Overview as AdminOverview,
  Skipped as AdminSkipped,
  Storage as AdminStorage,
  Count,
  Finding,
  Growth,
  ServerConnections,
} from "../admin/index.ts";

/** A value as JSON carries it: each Date as an ISO string. */
export type Sent<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? readonly Sent<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: Sent<T[Key]> }
      : T;

export type { Count, Finding };
export type EventRef = Sent<AdminEventRef>;
/** `keys` are those of `data`; `data` itself is there only if `payload=1` was asked for. `cause`: what made a reaction commit it. */
export type EventView = Sent<AdminEventView>;
export type Skipped = Sent<AdminSkipped>;
export type AppendLock = Sent<AdminAppendLock>;
export type Storage = Sent<AdminStorage>;

export type FailureCode =
  /** 400: a parameter is wrong. `message` says which, and what is right. */
  | "bad-request"
  /** 401: no token, or a wrong one. */
  | "no-token"
  /** 403: a request of another site, or without the headers. */
  | "cross-site"
  /** 403: the console runs without --write. */
  | "read-only"
  /** 404: no such store, event, stream, subscription or route. */
  | "not-found"
  /** 409: the confirmation was used, has expired or is unknown: ask for a new preview. */
  | "confirmation"
  /** 409: what was previewed has changed meanwhile, and nothing was done. */
  | "changed"
  /** 422: the folded state needs `--app`, or the app has no state for this stream. */
  | "no-state"
  /** 429: too many live connections of this page are open. */
  | "too-many"
  /** 503: the database does not answer. Try again: the server reconnects by itself. */
  | "unreachable"
  /** 504: the statement's deadline passed. */
  | "deadline"
  /** 500: the database refused, or the console has a fault. */
  | "failed";

export type Failure = {
  readonly error: { readonly code: FailureCode; readonly message: string };
};

// --- GET /api/session -------------------------------------------------------------------------------------------

/** What the page needs to know at first. Reads no table. */
export type Session = {
  /** Of act-drizzle. */
  readonly version: string;
  /** Writes are possible: `--write`. */
  readonly write: boolean;
  /** Who is written to the log of actions: `--as`, else the user of the system. */
  readonly user: string;
  /** Personal data may be revealed. Off with `--no-pii`. */
  readonly pii: boolean;
  /** `--app` was given: the states that can be folded, by name. */
  readonly app: { readonly states: readonly string[] } | undefined;
  readonly defaultStore: string;
  readonly stores: readonly StoreInfo[];
};

/** `id` goes into `?store=`; treat it as opaque. */
export type StoreInfo = {
  readonly id: string;
  /** To show: `shop.events`; with the database in front if there are several. */
  readonly label: string;
  readonly database: string;
  readonly schema: string;
  readonly table: string;
};

// --- GET /api/tenants?after=&limit=  (default 50, at most 200) ---------------------------------------------------

/** One line per store. `next`: give it as `after` for the next page; absent at the end. */
export type Tenants = { readonly tenants: readonly Tenant[]; readonly next: string | undefined };

export type Tenant = {
  readonly store: StoreInfo;
  /** Why it could not be read; then the rest is absent. */
  readonly problem: string | undefined;
  /** By the planner's statistics. */
  readonly estimate: number | undefined;
  readonly lastId: number | undefined;
  readonly lastCreated: string | undefined;
  readonly behind: Count | undefined;
  readonly blocked: Count | undefined;
};

// --- GET /api/overview?store=  and GET /api/live?store= (SSE) ----------------------------------------------------

export type Overview = {
  readonly at: string;
  readonly overview: Sent<AdminOverview>;
  /** Events of the last 10 s and of the last minute. */
  readonly rate: { readonly now: Growth; readonly minute: Growth };
  /** ms between commit and now of the event that the furthest-behind subscription gets next; absent: none is behind. */
  readonly oldestLagMs: number | undefined;
  /** The furthest behind, at most 20. */
  readonly behind: readonly Reaction[];
  /** At most 20. */
  readonly blocked: readonly Reaction[];
  /** Those that end first, at most 50. `leftMs` below 0: expired and not given back. */
  readonly leases: readonly Lease[];
  readonly correlators: readonly Correlator[];
  readonly appendLock: AppendLock;
  readonly connections: ServerConnections;
  readonly listener: Listener;
  /** Of one statement of the console, in ms. */
  readonly latencyMs: number;
};

export type Lease = {
  readonly stream: string;
  readonly lane: string;
  readonly at: number;
  readonly holder: string;
  readonly until: string;
  readonly leftMs: number;
  readonly attempts: number;
};

export type Correlator = {
  /** '' is the checkpoint that all share. */
  readonly key: string;
  readonly at: number;
  readonly holder: string | undefined;
  readonly until: string | undefined;
};

/** Sessions of the database that LISTEN on the store's channel cannot be seen by others; this is the console's own. */
export type Listener = {
  readonly state: "off" | "listening" | "reconnecting";
  /** ms since the last notification of a commit; absent before the first. A store without `notify` sends none. */
  readonly heardMs: number | undefined;
};

/** SSE of `/api/live`. Event `overview` comes every 2 s (an {@link Overview}), `link` when the database goes and comes. */
export type LiveEvents = {
  readonly overview: Overview;
  readonly link: Link;
};

export type Link = { readonly connected: boolean; readonly message: string | undefined };

// --- GET /api/doctor?store=  and GET /api/storage?store= ---------------------------------------------------------

export type Doctor = { readonly at: string; readonly findings: readonly Finding[] };
// GET /api/storage: Storage

// --- GET /api/log?store=&… ---------------------------------------------------------------------------------------

/**
 * Query parameters of `/api/log` and `/api/log/live`. All are optional.
 *
 * - `stream` a pattern (`^order-` begins so, `order` contains it); with `exact=1` a name
 * - `name` may be given several times
 * - `correlation`, `actor` (id or name of who acted) are exact
 * - `since`, `until`: ISO times, exclusive
 * - `payload=1`: with `data`
 * - `before` / `after`: an id, exclusive: give `before` to go back in time, `after` to go forward. Neither: the newest.
 * - `limit`: default 100, at most 500
 *
 * `/api/log?before=N` works for any N, so a page of a log without a filter can be had at any place of a scroll bar.
 */
export type LogQuery = {
  readonly store?: string;
  readonly stream?: string;
  readonly exact?: "1";
  readonly name?: readonly string[];
  readonly correlation?: string;
  readonly actor?: string;
  readonly since?: string;
  readonly until?: string;
  readonly payload?: "1";
  readonly before?: number;
  readonly after?: number;
  readonly limit?: number;
};

/** Always newest first. A rare filter is searched in parts: a page may be short, or empty, and not the last. */
export type LogPage = {
  readonly events: readonly EventView[];
  /** Give it as `before` for what is older; absent: the log begins here. */
  readonly older: number | undefined;
  /** Give it as `after` for what is newer. Absent only for an empty log. */
  readonly newer: number | undefined;
  /** Ids between which this page looked, inclusive. */
  readonly searched: { readonly from: number; readonly to: number };
  /** The log's ends now. */
  readonly firstId: number | undefined;
  readonly lastId: number | undefined;
};

/**
 * SSE of `/api/log/live`, with the parameters of {@link LogQuery} except `before` and `limit`; `after` is where it
 * begins (default: now). An event's `id:` is the position, so that a browser that reconnects goes on where it was.
 */
export type LogEvents = {
  /** At most every 250 ms, newest last. `position`: the id up to which the log was looked through. */
  readonly events: { readonly events: readonly EventView[]; readonly position: number };
  /** The log runs faster than this page takes it: these ids (exclusive, inclusive) were left out. */
  readonly gap: { readonly after: number; readonly upTo: number };
  readonly link: Link;
};

// --- GET /api/names?store=  ---------------------------------------------------------------------------------------

/** Names of events and lanes of subscriptions, for choosing from: at most 500 each, in order. */
export type NamesInUse = { readonly names: readonly string[]; readonly lanes: readonly string[] };

// --- GET /api/streams?store=&prefix=&after=&limit=  ---------------------------------------------------------------

/** Names of streams in code-unit order that begin with `prefix`, behind `after`. At most 200, default 20. */
export type Streams = { readonly streams: readonly string[]; readonly next: string | undefined };

// --- GET /api/event/:id?store=  -----------------------------------------------------------------------------------

export type EventDetail = {
  readonly event: EventView & { readonly data: unknown };
  /** Where `data` holds Dates: each a path of keys and indexes. */
  readonly dates: readonly (readonly (string | number)[])[];
  /** With `personal`: keys of pii are not sent either. See POST /api/reveal. */
  readonly cause: EventRef | undefined;
  /** The cause's id is known, but the log does not hold it any more. */
  readonly causeGone: boolean;
  /** What reactions committed because of it, at most 100. */
  readonly effects: readonly EventRef[];
  /** There may be more effects than were found. */
  readonly effectsCut: boolean;
  /** Events of the same stream next to it. */
  readonly previous: EventRef | undefined;
  readonly next: EventRef | undefined;
};

/** POST /api/reveal: personal data of one event. Logged with who and when. Needs no --write. */
export type RevealRequest = { readonly store?: string | undefined; readonly id: number };
export type Revealed = {
  /** Absent if it has none. */
  readonly pii: unknown;
  readonly dates: readonly (readonly (string | number)[])[];
  /** It is encrypted, and the console has no key. `pii` is absent. */
  readonly encrypted: boolean;
};

// --- GET /api/stream?store=&stream=&before=&limit=&payload=  ------------------------------------------------------

export type StreamDetail = {
  readonly stream: string;
  /** Absent for a stream without events. */
  readonly head: { readonly id: number; readonly version: number } | undefined;
  readonly events: Count;
  /** The newest one. Snapshots are events named `__snapshot__`, tombstones `__tombstone__`. */
  readonly snapshot: { readonly id: number; readonly version: number } | undefined;
  /** Above 0, or a snapshot as the first event: what was before was truncated. */
  readonly firstVersion: number | undefined;
  readonly truncated: boolean;
  /** Closed: its last event is a tombstone. */
  readonly closed: boolean;
  /** Newest first; `before` is an id. */
  readonly history: readonly EventView[];
  readonly older: number | undefined;
  readonly readers: readonly StreamReader[];
  /** Only so many subscriptions with a pattern were looked at. */
  readonly readersCut: boolean;
};

/** A subscription that reads the stream. */
export type StreamReader = {
  readonly stream: string;
  readonly source: string | undefined;
  readonly kind: SourceKind;
  readonly lane: string;
  readonly at: number;
  readonly correlatedAt: number | undefined;
  readonly blocked: boolean;
  /** Events of this stream up to its work mark that it has not handled. */
  readonly waiting: Count;
};

/** What a subscription reads: the whole log, one stream, or all streams that match. */
export type SourceKind = "all" | "stream" | "pattern";

/**
 * GET /api/stream/version?store=&stream=&version=: one event with its data (for a diff, ask twice). 404 if it is gone.
 */
export type VersionDetail = Pick<EventDetail, "event" | "dates">;

/** GET /api/stream/state?store=&stream=&version=: the state folded up to and with this version. 422 `no-state` without `--app`. */
export type FoldedState = {
  readonly stream: string;
  readonly version: number;
  /** The name of the app's state; several states of an app may share an event's name. */
  readonly name: string;
  readonly state: unknown;
  /** Events applied since the snapshot, or since the first event. */
  readonly patches: number;
  /** Version of the snapshot that the fold began with. */
  readonly fromSnapshot: number | undefined;
  /** More events than are folded at once: the state is not at this version, but at `version`. */
  readonly cut: boolean;
};

// --- GET /api/trace?store=&correlation=&limit=  (default 500, at most 2,000) -------------------------------------

export type Trace = {
  readonly correlation: string;
  /** In order of the log. A cause is always in front of its effects. */
  readonly events: readonly TraceEvent[];
  /** Streams in the order of their first event: one lane each. */
  readonly streams: readonly string[];
  readonly cut: boolean;
  readonly durationMs: number;
  /** Depth of the deepest chain of causes; a root is 1. */
  readonly depth: number;
};

export type TraceEvent = EventView & {
  /** Id of the event among these that caused it; absent for a root. */
  readonly parent: number | undefined;
  readonly depth: number;
  /** ms since the cause's commit. */
  readonly afterMs: number | undefined;
  /** ms since the first event of the trace. */
  readonly offsetMs: number;
  /** An event of the same name and stream is among its causes: a loop. How often so far. */
  readonly loop: number;
};

// --- GET /api/reactions?store=&…  -----------------------------------------------------------------------------------

/**
 * - `state`: `all` (default), `behind`, `blocked`, `leased`, `deferred`, `skipped`
 * - `lane`, `kind` (`all`, `stream`, `pattern`), `q`: the name or source contains it
 * - `sort`: `stream` (default), `at`, `priority`, `lane`, `source`, `attempts`; `desc=1`
 * - `limit`: default 100, at most 500; `after`: `next` of the page before
 */
export type ReactionsQuery = {
  readonly store?: string;
  readonly state?: ReactionState;
  readonly lane?: string;
  readonly kind?: SourceKind;
  readonly q?: string;
  readonly sort?: ReactionSort;
  readonly desc?: "1";
  readonly limit?: number;
  readonly after?: string;
};
export type ReactionState = "all" | "behind" | "blocked" | "leased" | "deferred" | "skipped";
export type ReactionSort = "stream" | "at" | "priority" | "lane" | "source" | "attempts";

export type Reactions = {
  readonly reactions: readonly Reaction[];
  /** How many the filter finds. */
  readonly count: Count;
  readonly next: string | undefined;
  /** Only so many subscriptions, in order of their name, were looked at for this filter and order. Absent: all. */
  readonly lookedAt: number | undefined;
};

/** A subscription: who handles events, and how far it is. */
export type Reaction = {
  /** Its name: what it is written to, and the key of every action. */
  readonly stream: string;
  readonly source: string | undefined;
  readonly kind: SourceKind;
  readonly lane: string;
  readonly priority: number;
  /** Watermark: id of the last event that was handled; -1 before the first. */
  readonly at: number;
  /** Work mark: the id up to which there is work. */
  readonly correlatedAt: number | undefined;
  readonly blocked: boolean;
  readonly error: string | undefined;
  /** How often the event that it stands at was tried; 0: not yet. */
  readonly attempts: number;
  readonly deferredUntil: string | undefined;
  readonly leasedBy: string | undefined;
  readonly leasedUntil: string | undefined;
  /** The event that it gets next, or that it failed at. Absent: nothing waits. */
  readonly next: EventRef | undefined;
  /** Events that wait. */
  readonly waiting: Count;
  /** Age of `next`. */
  readonly lagMs: number | undefined;
  /** Events that operators skipped. */
  readonly skipped: number;
};

/** GET /api/reaction?store=&stream=: one of them, with what was skipped. */
export type ReactionDetail = { readonly reaction: Reaction; readonly skipped: readonly Skipped[] };

/** GET /api/skipped?store=&limit=: of all subscriptions, the newest first. */
export type SkippedList = { readonly skipped: readonly Skipped[] };

// --- GET /api/projections?store=  ----------------------------------------------------------------------------------

/** Tables of positions of the database (`actPositions()`), by default `act_positions`, at most 10, and what they hold. */
export type Projections = {
  readonly tables: readonly PositionsTable[];
  /** Id of the log's end, to compare `at` with. */
  readonly lastId: number | undefined;
};

export type PositionsTable = {
  readonly schema: string;
  readonly table: string;
  /** Why it could not be read. */
  readonly problem: string | undefined;
  /** At most 200, in order of their name. */
  readonly projections: readonly Projection[];
  readonly cut: boolean;
};

export type Projection = {
  readonly projection: string;
  /** Which run this is: a rebuild raises it. */
  readonly generation: number;
  /** When the generation began. */
  readonly since: string;
  readonly targets: Count;
  /** The lowest and the highest position of its targets. */
  readonly lowest: number | undefined;
  readonly highest: number | undefined;
  /** Up to this id its tables hold all events, whatever their targets: after a rebuild. */
  readonly builtUpTo: number | undefined;
  /** A rebuild or a backfill holds its handlers now. */
  readonly rebuilding: boolean;
  /** 0 to 1 of the log's ids while it is rebuilding. */
  readonly progress: number | undefined;
  /** Furthest-behind targets, at most 20. */
  readonly positions: readonly {
    readonly target: string;
    readonly at: number;
    readonly handlers: readonly string[];
  }[];
};

// --- POST /api/actions/preview, POST /api/actions/run, GET /api/audit ---------------------------------------------

/** Which subscriptions: by name (at most 1,000), or all that match. */
export type Selection =
  | { readonly streams: readonly string[] }
  | {
      readonly filter: {
        /** A pattern of the subscription's name, unless `exact`. */
        readonly stream?: string | undefined;
        readonly streamExact?: boolean | undefined;
        readonly source?: string | undefined;
        readonly sourceExact?: boolean | undefined;
        readonly lane?: string | undefined;
        readonly blocked?: boolean | undefined;
      };
    };

export type Action =
  /** Unblocks: tries the same event again. (The page's "retry" is this.) */
  | { readonly type: "unblock"; readonly on: Selection }
  /** Back to the beginning: every event is handled again. */
  | { readonly type: "reset"; readonly on: Selection }
  /** Not claimed before `until` (ISO). A time in the past: at once. */
  | { readonly type: "defer"; readonly on: Selection; readonly until: string }
  | { readonly type: "prioritize"; readonly on: Selection; readonly priority: number }
  /** Goes past the event that each blocked subscription stands at. `reason` is recorded. */
  | {
      readonly type: "skip";
      readonly events: readonly { readonly stream: string; readonly event: number }[];
      readonly reason: string;
    }
  /** Ends the lease of a worker that is gone. */
  | { readonly type: "release"; readonly stream: string; readonly holder: string };

export type ActionType = Action["type"];

/** POST /api/actions/preview. Changes nothing. Works without --write too (then without `confirmation`). */
export type PreviewRequest = { readonly store?: string | undefined; readonly action: Action };

export type Preview = {
  readonly action: Action;
  /** To be given to `run`, once, within `expiresMs`. Absent without --write, and if nothing would change. */
  readonly confirmation: string | undefined;
  readonly expiresMs: number;
  /** Subscriptions that it would change. */
  readonly count: Count;
  /** One sentence: what it would do. */
  readonly description: string;
  /** What one should know before: handlers run again, events are never handled, …. */
  readonly warnings: readonly string[];
  /** The first of them, at most 20, as they stand now. */
  readonly sample: readonly Reaction[];
};

/** POST /api/actions/run */
export type RunRequest = { readonly confirmation: string };

export type ActionResult = {
  /** Subscriptions that were changed. */
  readonly count: number;
  readonly description: string;
  /** Of those that were not changed, each with why (skip and release only). */
  readonly refused: readonly { readonly stream: string; readonly message: string }[];
  readonly entry: AuditEntry;
};

/** GET /api/audit: what was done and revealed with this console since it started, the newest first, at most 200. */
export type Audit = { readonly entries: readonly AuditEntry[] };

export type AuditEntry = {
  readonly at: string;
  readonly who: string;
  readonly store: string;
  readonly type: ActionType | "reveal";
  /** In words, without payloads. */
  readonly what: string;
  readonly count: number;
  readonly outcome: "done" | "failed" | "refused";
};

/** The routes without parameters in their path, with what they return. */
export type Routes = {
  readonly "GET /api/session": Session;
  readonly "GET /api/tenants": Tenants;
  readonly "GET /api/overview": Overview;
  readonly "GET /api/doctor": Doctor;
  readonly "GET /api/storage": Storage;
  readonly "GET /api/log": LogPage;
  readonly "GET /api/names": NamesInUse;
  readonly "GET /api/streams": Streams;
  readonly "GET /api/event/:id": EventDetail;
  readonly "GET /api/stream": StreamDetail;
  readonly "GET /api/stream/version": VersionDetail;
  readonly "GET /api/stream/state": FoldedState;
  readonly "GET /api/trace": Trace;
  readonly "GET /api/reactions": Reactions;
  readonly "GET /api/reaction": ReactionDetail;
  readonly "GET /api/skipped": SkippedList;
  readonly "GET /api/projections": Projections;
  readonly "GET /api/audit": Audit;
  readonly "POST /api/reveal": Revealed;
  readonly "POST /api/actions/preview": Preview;
  readonly "POST /api/actions/run": ActionResult;
};
