/** The state of stores: session, tenants, overview, doctor. */
import type {
  AppendLock as AdminAppendLock,
  Overview as AdminOverview,
  Storage as AdminStorage,
  Growth,
  ServerConnections,
} from "../../admin/index.ts";
import type { Reaction } from "./reactions.ts";
import type { Count, Finding, Sent } from "./shared.ts";

export type AppendLock = Sent<AdminAppendLock>;
export type Storage = Sent<AdminStorage>;

// --- GET /api/session -------------------------------------------------------------------------------------------

/** What the page needs first. Reads the catalog, but no table of a store. */
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
  /** The name to show: `shop.events`, with the database in front if there are several. */
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
  /** Largest age in ms of a next event of the reactions in `behind`; absent if none of them has a next event. */
  readonly oldestLagMs: number | undefined;
  /** Those behind with the lowest watermarks, at most 20. */
  readonly behind: readonly Reaction[];
  /** At most 20. */
  readonly blocked: readonly Reaction[];
  /** Those that end first, at most 50. `leftMs` below 0: expired and not given back. */
  readonly leases: readonly Lease[];
  readonly correlators: readonly Correlator[];
  readonly appendLock: AppendLock;
  readonly connections: ServerConnections;
  readonly listener: Listener;
  /** ms until the server answered the query for `overview`, with the wait for a connection. */
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

/** The console's own LISTEN. PostgreSQL does not show which other sessions listen on the store's channel. */
export type Listener = {
  readonly state: "off" | "listening" | "reconnecting";
  /**
   * ms since the last notification (of a commit, or of work that can be claimed), or since LISTEN came back; absent
   * before the first. A store without `notify` sends none.
   */
  readonly lastNotifiedMs: number | undefined;
};

/**
 * SSE of `/api/live`. Event `overview` comes every 2 s, or less often if an overview takes long, `connection` when the
 * database is lost and when it is back.
 */
export type LiveEvents = {
  readonly overview: Overview;
  readonly connection: Connection;
};

/** Whether the database answers. */
export type Connection = { readonly connected: boolean; readonly message: string | undefined };

// --- GET /api/doctor?store=  and GET /api/storage?store= ---------------------------------------------------------

export type Doctor = { readonly at: string; readonly findings: readonly Finding[] };
// GET /api/storage: Storage
