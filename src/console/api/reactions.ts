/** Subscriptions and projections. */
import type { Skipped as AdminSkipped, SubscriptionSort, SubscriptionState } from "../../admin/index.ts";
import type { Count, EventRef, Sent, SourceKind } from "./shared.ts";

export type Skipped = Sent<AdminSkipped>;

// --- GET /api/reactions?store=&…  -----------------------------------------------------------------------------------

/*
 * - `state`: `all` (default), `behind`, `blocked`, `leased`, `deferred`, `skipped`
 * - `lane`, `kind` (`all`, `stream`, `pattern`), `q`: the name or source contains it
 * - `sort`: `stream` (default), `at`, `priority`, `lane`, `source`, `attempts`; `desc=1`
 * - `limit`: default 100, at most 500; `after`: `next` of the page before
 */

export type ReactionState = SubscriptionState;
export type ReactionSort = SubscriptionSort;

export type Reactions = {
  readonly reactions: readonly Reaction[];
  /** How many subscriptions match the filter. On a page after the first, those of the pages before may be left out. */
  readonly count: Count;
  readonly next: string | undefined;
  /** How many subscriptions were searched for this filter and order, if not all of them. */
  readonly searched: number | undefined;
};

/** A subscription, its settings and how far it is. */
export type Reaction = {
  /** Its name, by which actions select it. */
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

/** The database's tables of positions, 10 at most, and what they hold. `actPositions()` makes such a table. */
export type Projections = {
  readonly tables: readonly PositionsTable[];
  /** Tables in the schemas of other stores of the database, with the id of such a store. */
  readonly elsewhere: readonly { readonly schema: string; readonly table: string; readonly store: string }[];
  /** Id of the log's end, to compare `at` with. */
  readonly lastId: number | undefined;
};

export type PositionsTable = {
  readonly schema: string;
  readonly table: string;
  /** Why it could not be read. */
  readonly problem: string | undefined;
  /** At most 50, in order of their name. */
  readonly projections: readonly Projection[];
  readonly cut: boolean;
};

export type Projection = {
  readonly projection: string;
  /** Which run this is: a rebuild in place, and redeliver(), raise it. */
  readonly generation: number;
  /** When the generation began. */
  readonly since: string;
  readonly targets: Count;
  /** The lowest and the highest position of its targets. */
  readonly lowest: number | undefined;
  readonly highest: number | undefined;
  /** Set by a rebuild: up to this id its tables hold all events, whatever their targets. */
  readonly builtUpTo: number | undefined;
  /** A rebuild or redeliver() is running, or was interrupted. */
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
