/** Reads from PostgreSQL's catalog, in one query, all facts that a migration depends on. */
import * as z from "zod";
import type { Row, Run } from "../postgres/index.ts";
import { retrying } from "../postgres/retry.ts";
import { idCapacityColumns } from "../schema/id-capacity.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import { indexSteps } from "./migration-steps.ts";

const column = z.object({
  name: z.string(),
  type: z.string(),
  /** The expression of the default. Null without one, and if expressions were not read. */
  default: z.string().nullable(),
  notNull: z.boolean(),
  /**
   * What uses the column: `view shop.report`, `trigger audit on shop.events`. PostgreSQL refuses to change the type of such a
   * column.
   */
  users: z.array(z.string()),
  /** Whether the table is partitioned by it. PostgreSQL refuses to change the type of such a column, too. */
  partitions: z.boolean().default(false),
});

const index = z.object({
  /** The table that it is an index of. */
  table: z.string(),
  unique: z.boolean(),
  /** False after a CREATE INDEX CONCURRENTLY that failed. */
  valid: z.boolean(),
  /** As pg_get_indexdef shows it. Null if expressions were not read. */
  definition: z.string().nullable(),
});

const key = z.object({
  unique: z.boolean(),
  /** Whether it may refuse a row later than at once. ON CONFLICT then fails (55000). */
  deferrable: z.boolean(),
  /** Its columns, in order. */
  columns: z.array(z.string()),
});

const relation = z.object({
  name: z.string(),
  /** pg_class.relkind: `r` is a table, `p` a partitioned one. */
  kind: z.string(),
  /** Whether the role may alter it. */
  owned: z.boolean(),
  comment: z.string().nullable(),
  /** Size of the table's main file. Null for a partitioned table and an index, and if expressions were not read. */
  bytes: z.number().nullable(),
  /** Whether row-level security applies to this role, which then might not see every row. */
  restricted: z.boolean(),
  /** Storage options that are set: `fillfactor=70`. */
  options: z.array(z.string()),
  columns: z.array(column),
  /** Columns that an INSERT has to give a value: NOT NULL, without a default, and no trigger could fill them in. */
  required: z.array(z.string()),
  /** Name of the primary key's constraint. */
  primaryKey: z.string().nullable(),
  /** Its valid B-tree indexes on all rows and without an expression, those of constraints too. */
  keys: z.array(key),
  /** Null for a relation that is no index. */
  index: index.nullable(),
});

const catalog = z.object({
  schemaExists: z.boolean(),
  encoding: z.string(),
  expressions: z.boolean(),
  relations: z.array(relation),
  sequence: z.string().nullable(),
});

export type ColumnInfo = Readonly<z.infer<typeof column>>;
export type Relation = Readonly<z.infer<typeof relation>>;
export type Catalog = {
  readonly schemaExists: boolean;
  /** server_encoding of the database. */
  readonly encoding: string;
  /** False if defaults, definitions of indexes and sizes were left out. */
  readonly expressions: boolean;
  /** The relations that have the name of a table or an index of the store, by name. */
  readonly relations: ReadonlyMap<string, Relation>;
  /** The sequence that ids are drawn from: qualified, and quoted where needed. */
  readonly sequence: string | undefined;
};

/** Index names belong to the schema, not to the table: an index of another table can have one of these names. */
function relationNames(names: Names): string[] {
  const indexes = indexSteps(names).flatMap(({ name, next, old }) => [name, next, old]);
  return [...Object.values(tableNames(names.table)), ...indexes];
}

/**
 * What depends on the column `a` of the table `c`, without indexes and constraints: these change with the column. Before
 * PostgreSQL 15 a generated column depends by itself, later by its expression.
 */
const USERS = `select case
          when v.relkind in ('v', 'm') then format('view %I.%I', n.nspname, v.relname)
          when g.attname is not null then format('generated column %I', g.attname)
          when p.pubname is not null then format('publication %I, which filters rows or columns', p.pubname)
          else (select format('%s %s', i.type, i.identity) from pg_identify_object(u.classid, u.objid, u.objsubid) i) end as by
        from pg_depend u
        left join pg_rewrite r on u.classid = 'pg_rewrite'::regclass and r.oid = u.objid
        left join pg_class v on v.oid = r.ev_class
        left join pg_namespace n on n.oid = v.relnamespace
        left join pg_attrdef e on u.classid = 'pg_attrdef'::regclass and e.oid = u.objid
        left join pg_attribute g on g.attgenerated <> '' and g.attrelid = c.oid
          and g.attnum = case when u.classid = 'pg_class'::regclass and u.objid = c.oid then u.objsubid else e.adnum end
        left join pg_publication_rel m on u.classid = 'pg_publication_rel'::regclass and m.oid = u.objid
        left join pg_publication p on p.oid = m.prpubid
        where u.refclassid = 'pg_class'::regclass and u.refobjid = c.oid and u.refobjsubid = a.attnum and (g.attname is not null
          or u.classid in ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass, 'pg_publication_rel'::regclass))`;

const columnsText = (expressions: boolean) => `(
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', a.attname,
      'type', format_type(a.atttypid, a.atttypmod),
      'default', ${expressions ? "pg_get_expr(d.adbin, d.adrelid)" : "null"},
      'notNull', a.attnotnull,
      'partitions', exists (select 1 from pg_partitioned_table p where p.partrelid = c.oid and a.attnum = any(p.partattrs)),
      'users', (
        select coalesce(jsonb_agg(distinct used.by order by used.by), '[]') from (${USERS}) used)
    ) order by a.attnum), '[]')
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)`;

/** A domain may have the default or the NOT NULL. tgtype: 1 is ROW, 2 is BEFORE, 4 is INSERT. */
const REQUIRED = `(
    select coalesce(jsonb_agg(a.attname order by a.attnum), '[]') from pg_attribute a join pg_type d on d.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and (a.attnotnull or d.typnotnull)
      and not a.atthasdef and d.typdefault is null
      and a.attidentity = '' and c.relkind in ('r', 'p') and not exists (select 1 from pg_trigger t
        where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 7 = 7))`;

const KEYS = `(
    select coalesce(jsonb_agg(jsonb_build_object('unique', i.indisunique, 'deferrable', not i.indimmediate, 'columns', (
      select jsonb_agg(a.attname order by k.position)
      from unnest(i.indkey::int2[]) with ordinality as k(attribute, position)
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attribute where k.position <= i.indnkeyatts))), '[]')
    from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
    where i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indexprs is null and m.amname = 'btree')`;

const relationText = (expressions: boolean) => `jsonb_build_object(
  'name', c.relname,
  'kind', c.relkind::text,
  'owned', pg_has_role(c.relowner, 'usage'),
  'comment', obj_description(c.oid, 'pg_class'),
  'bytes', ${expressions ? "case when c.relkind = 'r' then pg_relation_size(c.oid) end" : "null"},
  'restricted', c.relkind in ('r', 'p') and row_security_active(c.oid),
  'options', coalesce(to_jsonb(c.reloptions), '[]'),
  'columns', ${columnsText(expressions)},
  'required', ${REQUIRED},
  'primaryKey', (select p.conname from pg_constraint p where p.conrelid = c.oid and p.contype = 'p'),
  'keys', ${KEYS},
  'index', (
    select jsonb_build_object('table', t.relname, 'unique', i.indisunique, 'valid', i.indisvalid,
      'definition', ${expressions ? "pg_get_indexdef(i.indexrelid)" : "null"})
    from pg_index i join pg_class t on t.oid = i.indrelid where i.indexrelid = c.oid))`;

/**
 * One row: `catalog`, for {@link toCatalog}, and the columns of the id capacity. The query has no parameters.
 *
 * `expressions: false` leaves out defaults, definitions of indexes, and sizes. pg_get_indexdef, pg_relation_size and,
 * from PostgreSQL 17 on, pg_get_expr lock the table, and so wait while another transaction has an exclusive lock on it.
 * `lockTimeout`: how long they wait at most, in ms. Only for a query outside of a transaction.
 */
export function introspectQuery(
  names: Names,
  { expressions = true, lockTimeout }: { expressions?: boolean; lockTimeout?: number } = {},
): { text: string } {
  const schema = `"${names.schema}"`;
  const list = relationNames(names).map(literal).join(", ");
  // They last until the end of the transaction. A role may have set that types and columns are shown in quotes.
  const settings = ["set_config('quote_all_identifiers', 'off', true)"];
  if (lockTimeout !== undefined) settings.push(`set_config('lock_timeout', '${lockTimeout}', true)`);
  return {
    text: `select jsonb_build_object(
  'schemaExists', to_regnamespace(${literal(schema)}) is not null,
  'encoding', current_setting('server_encoding'),
  'expressions', ${expressions},
  'relations', (
    select coalesce(jsonb_agg(${relationText(expressions)}), '[]')
    from unnest(array[${list}]) as wanted(name)
    join pg_class c on c.oid = to_regclass(${literal(`${schema}.`)} || quote_ident(wanted.name))),
  'sequence', (
    select format('%I.%I', n.nspname, c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = ${idSequence(names)})) as catalog,
${idCapacityColumns(names)}
from (select ${settings.join(", ")}) as set`,
  };
}

export function toCatalog(row: Row | undefined): Catalog {
  const { relations, sequence, ...facts } = catalog.parse(row?.catalog);
  return {
    ...facts,
    relations: new Map(relations.map((relation) => [relation.name, relation])),
    sequence: sequence ?? undefined,
  };
}

/**
 * internal_error: another session, which builds indexes, dropped one after the server had looked up its name, and before it
 * looked up its columns ("cache lookup failed for attribute 1 of relation …").
 */
export const DROPPED_MEANWHILE: ReadonlySet<string | undefined> = new Set(["XX000"]);

/** For use in a transaction. If an index is dropped meanwhile, it rejects with a code of {@link DROPPED_MEANWHILE}. */
export async function introspect(run: Run, names: Names): Promise<Catalog> {
  const [row] = await run(introspectQuery(names));
  return toCatalog(row);
}

/** For use outside of a transaction: reads again if an index was dropped meanwhile. */
export const introspectAgain = (run: Run, names: Names): Promise<Catalog> =>
  retrying(() => introspect(run, names), DROPPED_MEANWHILE);
