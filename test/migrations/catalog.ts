/** A store's tables as PostgreSQL's catalog has them, one line per fact, for comparing. */
import type { TableName } from "../order/lock.ts";
import { connect } from "../support/database.ts";

/**
 * Columns, defaults, constraints, indexes, storage options, sequence and comment. Schema and table are left out of
 * the lines, so that stores of different names compare equal.
 */
export async function catalogOf({ url, schema, table }: TableName): Promise<string[]> {
  const sql = connect(url);
  const tables = [table, `${table}_streams`, `${table}_correlated`];
  try {
    // With an empty search_path every name is written with its schema.
    await sql`set search_path = ''`;
    const rows = await sql<Array<{ fact: string }>>`
      with own as (
        select c.oid, c.relname, c.relkind, c.reloptions from pg_class c
        where c.relnamespace = (select oid from pg_namespace where nspname = ${schema}) and c.relname = any(${tables})
      )
      select format('table %s: %s %s, comment %s', relname, relkind, reloptions, obj_description(oid, 'pg_class')) as fact
      from own
      union all
      select format('column %s.%s %s: %s, not null %s, default %s, identity %s', relname, attnum, attname,
        format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attidentity)
      from own join pg_attribute on attrelid = own.oid and attnum > 0 and not attisdropped
      left join pg_attrdef on adrelid = own.oid and adnum = attnum
      union all
      select format('index %s, valid %s', pg_get_indexdef(indexrelid), indisvalid) from own join pg_index on indrelid = own.oid
      union all
      select format('constraint %s %s: %s', relname, conname, pg_get_constraintdef(c.oid))
      from own join pg_constraint c on conrelid = own.oid
      union all
      select format('sequence %s: %s, start %s, by %s, cache %s, cycle %s', s.relname, format_type(seqtypid, null), seqstart,
        seqincrement, seqcache, seqcycle)
      from own join pg_depend d on d.refobjid = own.oid and d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i')
      join pg_sequence on seqrelid = d.objid join pg_class s on s.oid = d.objid`;
    const plain = (fact: string) =>
      fact.replaceAll('"', "").replaceAll(`${schema}.${table}`, "S.T").replaceAll(table, "T");
    return rows.map(({ fact }) => plain(fact)).sort();
  } finally {
    await sql.end();
  }
}
