/** One event, one stream, one correlation. */
import type { Count, EventRef, EventView, SourceKind } from "./shared.ts";

// --- GET /api/event/:id?store=  -----------------------------------------------------------------------------------

export type EventDetail = {
  /** If `personal` is set, not even the keys of pii are sent: see POST /api/reveal. */
  readonly event: EventView & { readonly data: unknown };
  /** Where `data` holds Dates: each a path of keys and indexes. */
  readonly dates: readonly (readonly (string | number)[])[];
  /** The event whose reaction committed this one, if the log still holds it. */
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
  /** Version of its first event. */
  readonly firstVersion: number | undefined;
  /** Earlier events are gone: the first one has a version above 0, or is a snapshot or a tombstone. */
  readonly truncated: boolean;
  /** Closed: its last event is a tombstone. */
  readonly closed: boolean;
  /** Newest first; `before` is an id. */
  readonly history: readonly EventView[];
  readonly older: number | undefined;
  readonly readers: readonly StreamReader[];
  /** There may be more readers: 100 were found, or the time was up. */
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

/**
 * GET /api/stream/version?store=&stream=&version=: one event with its data (for a diff, ask twice). 404 if it is gone.
 */
export type VersionDetail = Pick<EventDetail, "event" | "dates">;

/**
 * GET /api/stream/state?store=&stream=&version=: the state folded up to this version, inclusive. 422 `no-state` without
 * `--app`.
 */
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
  /** There were too many events to fold: the state is the one at `version`, which is lower than the version asked for. */
  readonly cut: boolean;
};

// --- GET /api/trace?store=&correlation=&limit=  (default 500, at most 2,000) -------------------------------------

export type Trace = {
  readonly correlation: string;
  /** In order of the log, so a cause is always before its effects. */
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
  /** How many of its causes, up to the root, have the same name and stream. Above 0: a loop. */
  readonly loop: number;
};
