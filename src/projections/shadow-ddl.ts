/**
 * The statements that create a shadow of a table, and that replace the table by its shadow. The shadow is in a schema of its
 * own, so that its indexes, constraints and sequences have the names of the originals from the start, and drizzle-kit sees
 * no difference afterwards.
 */
import { type SQL, sql } from "drizzle-orm";
import { isRecord } from "../values/json-dates.ts";

/** Facts from the catalog about a table that is to be rebuilt. */
export type TableFacts = {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** The table's name as the catalog writes it in definitions, quoted if the server finds that necessary. */
  readonly full: string;
  readonly owner: string;
  /** Whether the current user is `owner`. */
  readonly own: boolean;
  readonly options: string | null;
  /** Columns as text, to notice that the table was changed. */
  readonly columns: string;
  readonly constraints: readonly { readonly name: string; readonly type: string; readonly def: string }[];
  readonly indexes: readonly string[];
  readonly grants: readonly string[];
  readonly sequences: readonly { readonly name: string; readonly column: string }[];
  /** Sequences of identity columns. LIKE creates new ones, with names of its own. */
  readonly identitySequences: readonly { readonly name: string; readonly column: string }[];
  /** The replica identity, which LIKE does not copy, as the end of an ALTER TABLE; null for the default. */
  readonly replicaIdentity: string | null;
  readonly comment: string | null;
  /** Why the table cannot be replaced. */
  readonly obstacles: readonly string[];
};

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const qualified = (schema: string, name: string) => `${quoteName(schema)}.${quoteName(name)}`;

const list = (select: SQL) => sql`coalesce((${select}), '[]'::json)`;

/**
 * One row of {@link TableFacts} as JSON. `all`: the oids of all tables of the rebuild. The search path must hold pg_catalog
 * only.
 */
export const factsOf = (oid: number, all: readonly number[]): SQL => {
  const set = sql.raw(`'{${all.map(Number).join(",")}}'::oid[]`);
  const id = sql.raw(String(Number(oid)));
  const obstacles = sql`
    select json_agg(o) from (
      select 'it is not an ordinary table' as o where c.relkind <> 'r' or c.relpersistence <> 'p' or c.relispartition
      union all select 'it inherits, or is inherited from'
        where exists (select 1 from pg_inherits where c.oid in (inhrelid, inhparent))
      union all select format('foreign key %s of %s refers to it', conname, conrelid::regclass) from pg_constraint
        where confrelid = c.oid and contype = 'f' and not conrelid = any(${set})
      union all select distinct format('view %s reads it', r.ev_class::regclass) from pg_depend d
        join pg_rewrite r on r.oid = d.objid
        where d.classid = 'pg_rewrite'::regclass and d.refobjid = c.oid and r.ev_class <> c.oid
      union all select format('trigger %s is on it', tgname) from pg_trigger where tgrelid = c.oid and not tgisinternal
      union all select 'it has row-level security'
        where c.relrowsecurity or exists (select 1 from pg_policy where polrelid = c.oid)
      union all select format('publication %s contains it', p.pubname) from pg_publication_tables p
        where p.schemaname = n.nspname and p.tablename = c.relname
      union all select format('rule %s is on it', rulename) from pg_rules
        where schemaname = n.nspname and tablename = c.relname
      union all select distinct format('%s depends on it', pg_describe_object(d.classid, d.objid, 0))
        from pg_depend d join pg_type t on t.oid = c.reltype
        where d.deptype = 'n' and d.classid not in ('pg_rewrite'::regclass, 'pg_constraint'::regclass)
        and not exists (select 1 from pg_attrdef f where d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
          and f.adrelid = c.oid)
        and (d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
          or d.refclassid = 'pg_type'::regclass and d.refobjid in (t.oid, t.typarray))
      union all select 'grants on its columns exist' where exists (
        select from pg_attribute where attrelid = c.oid and attacl is not null)
    ) as reasons`;
  return sql`
    select json_build_object(
      'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'full', format('%I.%I', n.nspname, c.relname),
      'comment', obj_description(c.oid, 'pg_class'), 'replicaIdentity', case c.relreplident when 'f' then 'full'
        when 'n' then 'nothing' when 'i' then (select format('using index %I', i.relname) from pg_index x
          join pg_class i on i.oid = x.indexrelid where x.indrelid = c.oid and x.indisreplident) end,
      'owner', pg_get_userbyid(c.relowner), 'own', pg_get_userbyid(c.relowner) = current_user, 'options', array_to_string(c.reloptions, ', '),
      'columns', (select string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
        pg_get_expr(d.adbin, d.adrelid)), ', ' order by attnum)
        from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where attrelid = c.oid and attnum > 0 and not attisdropped),
      'constraints', ${list(sql`select json_agg(json_build_object('name', conname, 'type', contype,
        'def', pg_get_constraintdef(oid)) order by contype = 'f', conname)
        from pg_constraint where conrelid = c.oid and contype in ('p', 'u', 'x', 'f')`)},
      'indexes', ${list(sql`select json_agg(pg_get_indexdef(x.indexrelid) order by x.indexrelid) from pg_index x
        where x.indrelid = c.oid and not exists (
          select from pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))`)},
      'grants', ${list(sql`select json_agg(format('%s on %%s to %s%s', privilege_type,
        case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
        case when is_grantable then ' with grant option' else '' end))
        from aclexplode(c.relacl) where grantee <> c.relowner`)},
      'sequences', ${list(sql`select json_agg(json_build_object('name', d.objid::regclass::text, 'column', a.attname))
        from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.classid = 'pg_class'::regclass and d.refobjid = c.oid and d.deptype = 'a'`)},
      'identitySequences', ${list(sql`select json_agg(json_build_object('name', s.relname, 'column', a.attname))
        from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.classid = 'pg_class'::regclass and d.refobjid = c.oid and d.deptype = 'i'`)},
      'obstacles', ${list(obstacles)}) as facts
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = ${id}`;
};

export const isFacts = (value: unknown): value is TableFacts =>
  isRecord(value) && typeof value.name === "string" && Array.isArray(value.obstacles);

/** The statements that create the empty shadows, with everything that belongs to the originals' definitions. */
export function createShadows(tables: readonly TableFacts[], schema: string): string[] {
  const peers = tables.map((table) => ({
    from: `REFERENCES ${table.full}(`,
    to: `REFERENCES ${qualified(schema, table.name)}(`,
  }));
  const inside = (def: string) => peers.reduce((text, { from, to }) => text.replace(from, () => to), def);
  const constraints = (foreign: boolean) =>
    tables.flatMap((table) =>
      table.constraints
        .filter(({ type }) => (type === "f") === foreign)
        .map(
          ({ name, def }) =>
            `alter table ${qualified(schema, table.name)} add constraint ${quoteName(name)} ${inside(def)}`,
        ),
    );
  return [
    ...tables.flatMap((table) => {
      const shadow = qualified(schema, table.name);
      return [
        `create table ${shadow} (like ${qualified(table.schema, table.name)} including all excluding indexes)`,
        ...(table.options ? [`alter table ${shadow} set (${table.options})`] : []),
        ...(table.comment === null ? [] : [`comment on table ${shadow} is ${literal(table.comment)}`]),
        ...table.identitySequences.map((sequence) => renameSequence(shadow, sequence)),
        withoutGrants(shadow),
        ...table.grants.map((grant) => `grant ${grant.replace("%s", () => shadow)}`),
      ];
    }),
    ...constraints(false),
    ...tables.flatMap((table) =>
      table.indexes.map((def) =>
        def.replace(` ON ${table.full} `, () => ` ON ${qualified(schema, table.name)} `),
      ),
    ),
    ...constraints(true),
    ...tables.flatMap(({ name, replicaIdentity }) =>
      replicaIdentity === null
        ? []
        : [`alter table ${qualified(schema, name)} replica identity ${replicaIdentity}`],
    ),
  ];
}

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/**
 * LIKE names the sequence of an identity column after the table and the column. The original may have another name.
 */
function renameSequence(table: string, { name, column }: TableFacts["identitySequences"][number]): string {
  const made = `pg_get_serial_sequence(${literal(table)}, ${literal(column)})`;
  return `do ${literal(`declare made regclass := ${made}; begin
    if (select relname from pg_class where oid = made) <> ${literal(name)} then
      execute format('alter sequence %s rename to %I', made, ${literal(name)});
    end if; end`)}`;
}

/** Revokes the grants of ALTER DEFAULT PRIVILEGES, so that the table gets the original's grants and no others. */
const withoutGrants = (table: string): string =>
  `do ${literal(`declare held text; begin
    for held in select distinct case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end
      from pg_class c, aclexplode(c.relacl) where c.oid = ${literal(table)}::regclass and grantee <> c.relowner
    loop execute format('revoke all on %s from %s', ${literal(table)}, held); end loop; end`)}`;

/** Keeps other sessions from changing the originals, and with `access exclusive` also from reading them. */
export const lockTables = (tables: readonly TableFacts[], mode: "exclusive" | "access exclusive"): string =>
  `lock table ${listOf(tables)} in ${mode} mode`;

const listOf = (tables: readonly TableFacts[]) =>
  tables.map((table) => qualified(table.schema, table.name)).join(", ");

/** The statements that replace the originals, which are locked, by the shadows. */
export function swapShadows(tables: readonly TableFacts[], schema: string): string[] {
  const sequences = (statement: (table: TableFacts, name: string, column: string) => string) =>
    tables.flatMap((table) => table.sequences.map(({ name, column }) => statement(table, name, column)));
  return [
    ...sequences((_, name) => `alter sequence ${name} owned by none`),
    `drop table ${listOf(tables)}`,
    ...tables.flatMap((table) => [
      `alter table ${qualified(schema, table.name)} set schema ${quoteName(table.schema)}`,
      ...(table.own
        ? []
        : [`alter table ${qualified(table.schema, table.name)} owner to ${quoteName(table.owner)}`]),
    ]),
    ...sequences(
      (table, name, column) =>
        `alter sequence ${name} owned by ${qualified(table.schema, table.name)}.${quoteName(column)}`,
    ),
    `drop schema ${quoteName(schema)} cascade`,
  ];
}
