/** Actions: a preview, then the action itself; and what was done. */
import type { Reaction } from "./reactions.ts";
import type { Count } from "./shared.ts";

// --- POST /api/actions/preview, POST /api/actions/run, GET /api/audit ---------------------------------------------

/** Which subscriptions: by name (at most 1,000), or all that match. */
export type Selection =
  | { readonly streams: readonly string[] }
  | {
      readonly filter: {
        /** A pattern of the subscription's name, unless `streamExact`. */
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
  /** Consequences to know before: handlers run again, events are never handled, …. */
  readonly warnings: readonly string[];
  /** The first subscriptions that it would change, at most 20, in their present state. */
  readonly sample: readonly Reaction[];
};

/** POST /api/actions/run */
export type RunRequest = { readonly confirmation: string };

export type ActionResult = {
  /** Subscriptions that were changed. */
  readonly count: number;
  readonly description: string;
  /** The subscriptions that were not changed, and why (skip and release only). */
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
