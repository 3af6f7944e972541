/**
 * Reads the facts about the server and the tables that doctor() checks. There are two queries, because Citus may have the
 * tables on another node: one reads the catalog and the server's statistics, the other reads the tables.
 */
import * as z from "zod";
import type { Context } from "../../context.ts";
import { idTriggersQuery } from "../../migrations/sequence.ts";
import { idCapacityColumns } from "../../schema/id-capacity.ts";
import { idSequence } from "../../schema/id-sequence.ts";
import { literal, type Names } from "../../schema/names.ts";
import { tableNames } from "../../schema/table-names.ts";
import { epochMs, lastCreatedMs, optionalInstant } from "../bounded.ts";
import { unfinished, unfinishedText } from "./unfinished.ts";

const tableFacts = z.object({
  table: z.string(),
  rows: z.number(),
  live: z.number(),
  dead: z.number(),
  bytes: z.number(),
  autovacuum: z.boolean(),
  /** Rows that may be dead before autovacuum starts. */
  threshold: z.number(),
  vacuumed: optionalInstant,
  analyzed: optionalInstant,
  rowSecurity: z.boolean(),
  /** A crash of the server empties it, and a standby does not have its rows. */
  unlogged: z.boolean(),
  /** Rules that rewrite INSERT, UPDATE or DELETE. */
  rules: z.array(z.string()),
  /** Roles that may read the table although they are open to many users: `public`, `anon`, … */
  readers: z.array(z.string()),
});

const factsRow = z.object({
  version_number: z.coerce.number(),
  now: z.coerce.number(),
  encoding: z.string(),
  read_only: z.boolean(),
  standby: z.boolean(),
  autovacuum: z.boolean(),
  max_connections: z.coerce.number(),
  reserved: z.coerce.number(),
  used: z.coerce.number(),
  isolation: z.string().nullable(),
  tables: z.array(tableFacts),
  horizon: z
    .object({ pid: z.number(), application: z.string().nullable(), ms: z.number(), state: z.string() })
    .nullable(),
  slots: z.array(z.object({ name: z.string(), active: z.boolean() })),
  prepared: z.coerce.number(),
  sequence: z
    .object({
      name: z.string(),
      cache: z.number(),
      increment: z.number(),
      cycle: z.boolean(),
      last: z.number().nullable(),
    })
    .nullable(),
  id_triggers: z.array(z.string()),
  unfinished,
  last_id: z.coerce.number().nullable(),
  last_created: z.coerce.number().nullable(),
  unmarked: z.coerce.number(),
  idle_correlators: z.coerce.number(),
  correlators: z.coerce.number(),
  ids_used: z.coerce.number().nullable(),
  highest_possible_id: z.coerce.number().nullable(),
});
export type Facts = z.infer<typeof factsRow>;

/** Roles whose rights hosted services give to everybody through an API. */
const API_ROLES = ["anon", "authenticated", "web_anon"];

const tablesText = (ours: string) => `(select coalesce(jsonb_agg(jsonb_build_object(
    'table', c.relname, 'rows', c.reltuples::bigint, 'bytes', pg_table_size(c.oid),
    'live', coalesce(s.n_live_tup, 0), 'dead', coalesce(s.n_dead_tup, 0),
    'autovacuum', not coalesce(c.reloptions, '{}') && array['autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0'],
    'threshold', current_setting('autovacuum_vacuum_threshold')::numeric + greatest(c.reltuples::bigint, 0) * coalesce(
      (select split_part(o, '=', 2)::numeric from unnest(c.reloptions) o where o like 'autovacuum_vacuum_scale_factor=%'),
      current_setting('autovacuum_vacuum_scale_factor')::numeric),
    'vacuumed', ${epochMs("greatest(s.last_vacuum, s.last_autovacuum)")},
    'analyzed', ${epochMs("greatest(s.last_analyze, s.last_autoanalyze)")},
    'rowSecurity', c.relrowsecurity,
    'unlogged', c.relpersistence = 'u',
    'rules', (select coalesce(jsonb_agg(w.rulename order by w.rulename), '[]') from pg_rewrite w
      where w.ev_class = c.oid and w.ev_type in ('2', '3', '4') and w.ev_enabled <> 'D'),
    'readers', (select coalesce(jsonb_agg(distinct g.reader order by g.reader), '[]') from (
      select case a.grantee when 0 then 'public' else r.rolname::text end as reader
      from aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
      where a.privilege_type = 'SELECT' and (a.grantee = 0 or r.rolname in (${API_ROLES.map(literal).join(", ")}))) g)
  ) order by c.relname), '[]')
  from pg_class c left join pg_stat_all_tables s on s.relid = c.oid where ${ours})`;

/** The oldest transaction of any session that keeps VACUUM from removing dead rows. */
const HORIZON = `(select jsonb_build_object('pid', a.pid, 'application', nullif(a.application_name, ''), 'state', coalesce(a.state, ''),
    'ms', ${epochMs("clock_timestamp() - a.xact_start")})
  from pg_stat_activity a
  where a.xact_start is not null and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
    and (a.backend_xmin is not null or a.backend_xid is not null)
  order by a.xact_start limit 1)`;

/** Replication slots that nobody uses. They keep WAL, and may keep VACUUM from removing dead rows, for ever. */
const SLOTS = `(select coalesce(jsonb_agg(jsonb_build_object('name', slot_name, 'active', active) order by slot_name), '[]')
  from pg_replication_slots where (xmin is not null or catalog_xmin is not null or restart_lsn is not null) and not active)`;

function serverText(names: Names): string {
  const list = Object.values(tableNames(names.table)).map(literal).join(", ");
  const ours = `c.relnamespace = to_regnamespace(${literal(`"${names.schema}"`)}) and c.relname in (${list}) and c.relkind in ('r', 'p')`;
  return `select current_setting('server_version_num') as version_number, ${epochMs("clock_timestamp()")} as now,
  current_setting('server_encoding') as encoding, current_setting('default_transaction_read_only')::bool as read_only,
  pg_is_in_recovery() as standby, current_setting('autovacuum')::bool as autovacuum,
  current_setting('max_connections') as max_connections, current_setting('superuser_reserved_connections') as reserved,
  (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
  (select split_part(o, '=', 2) from pg_db_role_setting d cross join unnest(d.setconfig) o
    where d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
      and d.setrole in (0, (select oid from pg_roles where rolname = current_user))
      and o like 'default_transaction_isolation=%' and split_part(o, '=', 2) <> 'read committed' limit 1) as isolation,
  ${tablesText(ours)} as tables,
  ${HORIZON} as horizon,
  ${SLOTS} as slots,
  (select count(*) from pg_prepared_xacts where database = current_database() and prepared < now() - interval '5 minutes') as prepared,
  (select jsonb_build_object('name', format('%I.%I', n.nspname, c.relname), 'cache', s.seqcache, 'increment', s.seqincrement,
      'cycle', s.seqcycle, 'last', case when has_sequence_privilege(c.oid, 'usage, select') then pg_sequence_last_value(c.oid) end)
    from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where s.seqrelid = ${idSequence(names)}) as sequence,
  (select coalesce(jsonb_agg(d.name order by d.name), '[]') from (${idTriggersQuery(names)}) d) as id_triggers,
  ${unfinishedText(names)} as unfinished,
  ${idCapacityColumns(names)}`;
}

const tableText = ({ events, streams, correlated }: Names): string => `select
  (select max(id) from ${events}) as last_id,
  ${lastCreatedMs(events)} as last_created,
  (select count(*) from (select 1 from ${streams} where correlated_at is null and at < (select max(id) from ${events}) limit 1001) u) as unmarked,
  (select count(*) from ${correlated} where key <> '' and (leased_until is null or leased_until < now() - interval '7 days')) as idle_correlators,
  (select count(*) from ${correlated} where key <> '') as correlators`;

export async function readFacts({
  names,
  connections,
}: Pick<Context, "names" | "connections">): Promise<Facts> {
  const [server] = await connections.read("admin", { text: serverText(names) });
  const [tables] = await connections.read("admin", { text: tableText(names) });
  return factsRow.parse({ ...server, ...tables });
}
