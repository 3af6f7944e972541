/** Connections to the server, and the sessions that hold the append lock or wait for it. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { literal } from "../schema/names.ts";
import { epochMs, optionalText } from "./bounded.ts";

/** Connections to the server. `max` is its max_connections; `reserved` of them are for superusers. */
export type ServerConnections = {
  readonly max: number;
  readonly reserved: number;
  /** All client connections of the server that this role may see. */
  readonly used: number;
  /** Connections of this database by application name, those with the most connections first; at most 50. */
  readonly applications: readonly {
    readonly name: string;
    readonly connections: number;
    readonly active: number;
    readonly idleInTransaction: number;
  }[];
};

/**
 * A session that holds the append lock or waits for it. `pid` is its process on the server; `state` is as in
 * pg_stat_activity.
 */
export type LockSession = {
  readonly pid: number;
  readonly application: string | undefined;
  readonly state: string | undefined;
  /** ms since its transaction began. */
  readonly transactionMs: number | undefined;
};

/** The append lock: one transaction at a time holds it, the others wait in a queue. */
export type AppendLock = {
  readonly holder: LockSession | undefined;
  readonly waiting: readonly LockSession[];
};

const connectionsRow = z.object({
  max: z.coerce.number(),
  reserved: z.coerce.number(),
  used: z.coerce.number(),
  applications: z.array(
    z.object({
      name: z.string(),
      connections: z.number(),
      active: z.number(),
      idleInTransaction: z.number(),
    }),
  ),
});

const CONNECTIONS = `select current_setting('max_connections')::int as max,
  current_setting('superuser_reserved_connections')::int as reserved,
  (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
  (select coalesce(jsonb_agg(to_jsonb(a) order by a.connections desc, a.name), '[]') from (
    select coalesce(nullif(application_name, ''), '(none)') as name, count(*)::int as connections,
      (count(*) filter (where state = 'active'))::int as active,
      (count(*) filter (where state like 'idle in transaction%'))::int as "idleInTransaction"
    from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
    group by 1 order by 2 desc, 1 limit 50) a) as applications`;

export async function serverConnections({ connections }: Context): Promise<ServerConnections> {
  const [row] = await connections.read("admin", { text: CONNECTIONS });
  return connectionsRow.parse(row);
}

const sessionRow = z
  .object({
    granted: z.boolean(),
    pid: z.number(),
    application: optionalText,
    state: optionalText,
    transaction_ms: z.coerce.number().nullable(),
  })
  .transform(({ granted, pid, application, state, transaction_ms }) => ({
    granted,
    session: { pid, application, state, transactionMs: transaction_ms ?? undefined } satisfies LockSession,
  }));

export async function appendLock({ names, connections }: Context): Promise<AppendLock> {
  // pg_locks shows the two halves of an advisory lock's key of 64 bits.
  const rows = await connections.read("admin", {
    text: `with key as (select hashtext(${literal(names.lockKey)})::bigint as value)
select l.granted, l.pid, a.application_name as application, a.state,
  ${epochMs("clock_timestamp() - a.xact_start")} as transaction_ms
from pg_locks l cross join key left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and (l.classid::bigint << 32) | l.objid::bigint = key.value
order by l.granted desc, a.xact_start limit 1000`,
  });
  const found = z.array(sessionRow).parse(rows);
  return {
    holder: found.find(({ granted }) => granted)?.session,
    waiting: found.filter(({ granted }) => !granted).map(({ session }) => session),
  };
}
