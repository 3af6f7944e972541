/** Reads from PostgreSQL's catalog, in one query, all that a migration depends on. */
import { z } from "zod";
import type { Row, Run } from "../postgres/index.ts";
import { idCapacityColumns } from "../schema/id-capacity.ts";
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import { migrationSteps } from "./migration-steps.ts";

const column = z.object({
  name: z.string(),
  type: z.string(),
  /** The expression of the default. Null without one, and where expressions were not read. */
  default: z.string().nullable(),
  /** Views that show the column, qualified. PostgreSQL refuses to change the type of such a column. */
  views: z.array(z.string()),
});

const index = z.object({
  /** The table that it is an index of. */
  table: z.string(),
  unique: z.boolean(),
  /** False after a CREATE INDEX CONCURRENTLY that failed. */
  valid: z.boolean(),
});

const relation = z.object({
  name: z.string(),
  /** pg_class.relkind: `r` is a table, `p` a partitioned one. */
  kind: z.string(),
  /** The role may alter it. */
  owned: z.boolean(),
  comment: z.string().nullable(),
  /** Storage options that are set: `fillfactor=70`. */
  options: z.array(z.string()),
  columns: z.array(column),
  /** Name of the primary key's constraint. */
  primaryKey: z.string().nullable(),
  /** Null for a relation that is no index. */
  index: index.nullable(),
});

const catalog = z.object({
  schemaExists: z.boolean(),
  relations: z.array(relation),
});

export type ColumnInfo = Readonly<z.infer<typeof column>>;
export type Relation = Readonly<z.infer<typeof relation>>;
export type Catalog = {
  readonly schemaExists: boolean;
  /** Whatever has the name of a table or an index of the store. */
  readonly relations: ReadonlyMap<string, Relation>;
};

/** Index names belong to the schema, not to the table: another table's index can have one of ours. */
function relationNames(names: Names): string[] {
  const indexes = migrationSteps(names).filter(({ kind }) => kind === "index");
  return [...Object.values(tableNames(names.table)), ...indexes.map(({ name }) => name)];
}

const columnsText = (expressions: boolean) => `(
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', a.attname,
      'type', format_type(a.atttypid, a.atttypmod),
      'default', ${expressions ? "pg_get_expr(d.adbin, d.adrelid)" : "null"},
      'views', (
        select coalesce(jsonb_agg(distinct format('%I.%I', n.nspname, v.relname)), '[]')
        from pg_depend u
        join pg_rewrite r on u.classid = 'pg_rewrite'::regclass and r.oid = u.objid
        join pg_class v on v.oid = r.ev_class
        join pg_namespace n on n.oid = v.relnamespace
        where u.refclassid = 'pg_class'::regclass and u.refobjid = c.oid and u.refobjsubid = a.attnum)
    ) order by a.attnum), '[]')
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)`;

const relationText = (expressions: boolean) => `jsonb_build_object(
  'name', c.relname,
  'kind', c.relkind::text,
  'owned', pg_has_role(c.relowner, 'usage'),
  'comment', obj_description(c.oid, 'pg_class'),
  'options', coalesce(to_jsonb(c.reloptions), '[]'),
  'columns', ${columnsText(expressions)},
  'primaryKey', (select p.conname from pg_constraint p where p.conrelid = c.oid and p.contype = 'p'),
  'index', (
    select jsonb_build_object('table', t.relname, 'unique', i.indisunique, 'valid', i.indisvalid)
    from pg_index i join pg_class t on t.oid = i.indrelid where i.indexrelid = c.oid))`;

/**
 * One row: `catalog`, for {@link toCatalog}, and the columns of the id capacity. The query has no parameters.
 *
 * `expressions: false` leaves out the defaults of columns. From PostgreSQL 17 on pg_get_expr locks the table,
 * and so waits while another transaction has an exclusive lock on it.
 */
export function introspectQuery(names: Names, { expressions = true } = {}): { text: string } {
  const schema = `"${names.schema}"`;
  const list = relationNames(names).map(literal).join(", ");
  return {
    text: `select jsonb_build_object(
  'schemaExists', to_regnamespace(${literal(schema)}) is not null,
  'relations', (
    select coalesce(jsonb_agg(${relationText(expressions)}), '[]')
    from unnest(array[${list}]) as wanted(name)
    join pg_class c on c.oid = to_regclass(${literal(`${schema}.`)} || quote_ident(wanted.name)))) as catalog,
${idCapacityColumns(names)}`,
  };
}

export function toCatalog(row: Row | undefined): Catalog {
  const { schemaExists, relations } = catalog.parse(row?.catalog);
  return {
    schemaExists,
    relations: new Map(relations.map((relation) => [relation.name, relation])),
  };
}

export async function introspect(run: Run, names: Names): Promise<Catalog> {
  const [row] = await run(introspectQuery(names));
  return toCatalog(row);
}
