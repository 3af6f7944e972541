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
 * - Lists and counts have a limit. A {@link Count} that is not `exact` means `count` or more.
 */
import type { ActionResult, Audit, Preview } from "./api/actions.ts";
import type { LogPage, NamesInUse, Streams } from "./api/log.ts";
import type { Doctor, Overview, Session, Storage, Tenants } from "./api/overview.ts";
import type { Projections, ReactionDetail, Reactions, SkippedList } from "./api/reactions.ts";
import type {
  EventDetail,
  FoldedState,
  Revealed,
  StreamDetail,
  Trace,
  VersionDetail,
} from "./api/streams.ts";

export type * from "./api/actions.ts";
export type * from "./api/log.ts";
export type * from "./api/overview.ts";
export type * from "./api/reactions.ts";
export type * from "./api/shared.ts";
export type * from "./api/streams.ts";

/** The routes, with what they return. */
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
