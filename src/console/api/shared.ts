/** What all routes share. */
import type {
  EventRef as AdminEventRef,
  EventView as AdminEventView,
  Count,
  Finding,
  SourceKind,
} from "../../admin/index.ts";

/** A value as JSON carries it: each Date as an ISO string. */
export type Sent<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? readonly Sent<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: Sent<T[Key]> }
      : T;

export type { Count, Finding, SourceKind };
export type EventRef = Sent<AdminEventRef>;
/**
 * `keys` are those of `data`; `data` itself is there only with `payload=1`. `cause`: what made a reaction commit the event.
 */
export type EventView = Sent<AdminEventView>;

export type FailureCode =
  /** 400: a parameter is wrong. `message` says which, and what is right. */
  | "bad-request"
  /** 401: no token, or a wrong one. */
  | "no-token"
  /** 403: the request came from another site or had a wrong Host, or a POST lacked content-type or x-act-console. */
  | "cross-site"
  /** 403: the console runs without --write, or, for a reveal, with --no-pii. */
  | "read-only"
  /** 404: no such store, event, stream, subscription or route. */
  | "not-found"
  /** 409: the confirmation was used, has expired or is unknown: ask for a new preview. */
  | "confirmation"
  /** 409: what was previewed has changed meanwhile, and nothing was done. */
  | "changed"
  /**
   * 422: the folded state needs `--app`, the app has no state for this stream, or the state's code failed at an event.
   */
  | "no-state"
  /** 429: too many live connections are open, those of all pages counted. */
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
