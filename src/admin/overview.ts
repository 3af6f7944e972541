/** The state of a store at a glance. Two statements; none of them grows with the log. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { readByIndex } from "../postgres/by-index.ts";
import { literal, type Names } from "../schema/names.ts";
import {
  boundedCount,
  type Count,
  countOf,
  epochMs,
  instant,
  lastCreatedMs,
  optionalInstant,
} from "./bounded.ts";
import { PENDING_LIMIT, pendingText } from "./pending.ts";

/** The server, and the database and role that the store uses. */
export type ServerFacts = {
  /** As `18.4`. */
  readonly version: string;
  readonly versionNumber: number;
  readonly database: string;
  readonly user: string;
  readonly now: Date;
  readonly startedAt: Date;
  /** A standby, which takes no writes. */
  readonly standby: boolean;
};

/** The state of a store at a glance. Ids are undefined for an empty log. */
export type Overview = {
  readonly server: ServerFacts;
  readonly events: {
    /** Rows by the planner's statistics, undefined if they know of none, as before the first ANALYZE and on Citus. */
    readonly estimate: number | undefined;
    readonly firstId: number | undefined;
    readonly lastId: number | undefined;
    readonly lastCreated: Date | undefined;
  };
  readonly subscriptions: {
    readonly all: Count;
    /** With events that wait to be handled, leased or not. */
    readonly behind: Count;
    readonly blocked: Count;
    /** Held by a worker now. */
    readonly leased: Count;
    /** Wait for a later time. */
    readonly deferred: Count;
  };
  readonly correlators: number;
};

const row = z.object({
  version: z.string(),
  version_number: z.coerce.number(),
  database: z.string(),
  user: z.string(),
  now: instant,
  started: instant,
  standby: z.boolean(),
  estimate: z.number().nullable(),
  first_id: z.coerce.number().nullable(),
  last_id: z.coerce.number().nullable(),
  last_created: optionalInstant,
  total: boundedCount(),
  behind: z.coerce.number(),
  blocked: boundedCount(),
  leased: z.coerce.number(),
  cut: z.boolean(),
  deferred: boundedCount(),
  correlators: z.coerce.number(),
});

export function overviewText({ events, streams, correlated }: Names): string {
  return `with recursive ${pendingText(streams)}
select current_setting('server_version') as version, current_setting('server_version_num') as version_number,
  current_database() as database, current_user as user, ${epochMs("clock_timestamp()")} as now,
  ${epochMs("pg_postmaster_start_time()")} as started, pg_is_in_recovery() as standby,
  (select case when c.reltuples > 0 then c.reltuples::bigint end from pg_class c where c.oid = to_regclass(${literal(events)})) as estimate,
  (select min(id) from ${events}) as first_id, (select max(id) from ${events}) as last_id,
  ${lastCreatedMs(events)} as last_created,
  ${countOf(`from ${streams}`)} as total, (select pending from edge) as behind,
  ${countOf(`from ${streams} s where s.blocked`)} as blocked,
  (select count(*) from held where leased_until > clock_timestamp()) as leased,
  ${countOf(`from ${streams} s where not s.blocked and s.at < s.correlated_at and s.deferred_at > now()`)} as deferred,
  (select cut from edge) as cut,
  (select count(*) from ${correlated} where key <> '') as correlators`;
}

export async function overview({ names, connections }: Context): Promise<Overview> {
  const [found] = await readByIndex(connections, "admin", { text: overviewText(names) });
  const f = row.parse(found);
  return {
    server: {
      version: f.version.split(" ")[0] ?? f.version,
      versionNumber: f.version_number,
      database: f.database,
      user: f.user,
      now: f.now,
      startedAt: f.started,
      standby: f.standby,
    },
    events: {
      estimate: f.estimate ?? undefined,
      firstId: f.first_id ?? undefined,
      lastId: f.last_id ?? undefined,
      lastCreated: f.last_created,
    },
    subscriptions: {
      all: f.total,
      // `cut` is about each kind alone. Together the two kinds may have up to twice as many.
      behind: { count: Math.min(f.behind, PENDING_LIMIT), exact: !f.cut && f.behind <= PENDING_LIMIT },
      blocked: f.blocked,
      leased: { count: f.leased, exact: !f.cut },
      deferred: f.deferred,
    },
    correlators: f.correlators,
  };
}
