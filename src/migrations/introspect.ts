/** What stands where the store's tables belong, and whether it is a store's. */
import { literal, type Names } from "../schema/names.ts";
import type { Run } from "./migration-lock.ts";

export type ColumnInfo = { readonly type: string; readonly default: string | null };
export type TableInfo = {
  /** pg_class.relkind: `r` is a table. */
  readonly kind: string;
  /** The role may alter it. */
  readonly owned: boolean;
  readonly comment: string | null;
  /** Storage options that are set, by name. */
  readonly options: ReadonlySet<string>;
  readonly columns: ReadonlyMap<string, ColumnInfo>;
};

export type Tables = {
  readonly events: TableInfo | undefined;
  readonly streams: TableInfo | undefined;
  readonly correlated: TableInfo | undefined;
};

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);

export const regclass = (schema: string, name: string): string =>
  `to_regclass(${literal(`"${schema}"."${name}"`)})`;

/** A relation with its columns; undefined if there is none of this name. */
export async function introspectTable(
  run: Run,
  schema: string,
  name: string,
): Promise<TableInfo | undefined> {
  const rows = await run({
    text: `select c.relkind::text as kind, pg_has_role(c.relowner, 'usage') as owned, c.reloptions::text as options,
  obj_description(c.oid, 'pg_class') as comment, a.attname::text as column,
  format_type(a.atttypid, a.atttypmod) as type, pg_get_expr(d.adbin, d.adrelid) as default
from pg_class c
left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.oid = ${regclass(schema, name)} order by a.attnum`,
  });
  const [first] = rows;
  if (!first) return undefined;
  const columns = rows.flatMap((row): [string, ColumnInfo][] =>
    row.column === null ? [] : [[String(row.column), { type: String(row.type), default: text(row.default) }]],
  );
  const options = (text(first.options) ?? "").matchAll(/([a-z_]+)=/g);
  return {
    kind: String(first.kind),
    owned: first.owned === true,
    comment: text(first.comment),
    options: new Set([...options].map((match) => match[1] ?? "")),
    columns: new Map(columns),
  };
}

type Known = Readonly<Record<string, RegExp>>;

const NUMBER = /^(integer|bigint)$/;
const TEXT = /^(text|character varying.*)$/;
const JSONB = /^jsonb$/;

/**
 * By what a table of a store is known: the columns that every release of act-pg and this store gave it. The
 * others may be missing, and are added.
 */
const EVENTS: Known = {
  id: NUMBER,
  name: TEXT,
  data: JSONB,
  stream: TEXT,
  version: NUMBER,
  created: /^timestamp with time zone$/,
  meta: JSONB,
};
const STREAMS: Known = { stream: TEXT, at: NUMBER, retry: /^(smallint|integer)$/, blocked: /^boolean$/ };
const CORRELATED: Known = { key: TEXT, at: NUMBER };
const SINGLE_CHECKPOINT: readonly Known[] = [{ at: NUMBER }, { correlated_at: NUMBER }];

/** An index by its name, or what else has that name. Index names belong to the schema, not to the table. */
export type IndexInfo = {
  /** The table that it is an index of; null if it is none. */
  readonly table: string | null;
  readonly unique: boolean;
  /** False after a CREATE INDEX CONCURRENTLY that failed. */
  readonly valid: boolean;
};

export async function introspectIndex(
  run: Run,
  schema: string,
  name: string,
): Promise<IndexInfo | undefined> {
  const [row] = await run({
    text: `select t.relname::text as table, i.indisunique as unique, i.indisvalid as valid from pg_class c
left join pg_index i on i.indexrelid = c.oid left join pg_class t on t.oid = i.indrelid
where c.oid = ${regclass(schema, name)}`,
  });
  return row && { table: text(row.table), unique: row.unique === true, valid: row.valid === true };
}

/** What keeps a relation from being the store's table, in words. */
function mismatch({ kind, columns }: TableInfo, known: Known): string | undefined {
  if (kind !== "r" && kind !== "p") return "it is not a table";
  for (const [name, type] of Object.entries(known)) {
    const found = columns.get(name)?.type;
    if (found === undefined) return `it has no column "${name}"`;
    if (!type.test(found)) return `its column "${name}" is ${found}`;
  }
  return undefined;
}

/** act-pg once kept one checkpoint, in a row with an id. */
export const isSingleCheckpoint = ({ columns }: TableInfo): boolean =>
  columns.has("id") && !columns.has("key");

/**
 * The three tables as they are. Throws when one of them belongs to something else: its columns are not to be
 * added to, and its rows not to be dropped.
 */
export async function introspectTables(run: Run, { schema, table }: Names): Promise<Tables> {
  const find = async (name: string, known: (found: TableInfo) => readonly Known[]) => {
    const found = await introspectTable(run, schema, name);
    if (!found) return undefined;
    const reasons = known(found).map((shape) => mismatch(found, shape));
    const reason = reasons.at(-1);
    if (reason && !reasons.includes(undefined))
      throw new Error(
        `"${schema}"."${name}" does not belong to this store, ${reason}: choose another schema or table name. Nothing was changed`,
      );
    return found;
  };
  return {
    events: await find(table, () => [EVENTS]),
    streams: await find(`${table}_streams`, () => [STREAMS]),
    correlated: await find(`${table}_correlated`, (found) =>
      isSingleCheckpoint(found) ? SINGLE_CHECKPOINT : [CORRELATED],
    ),
  };
}

/** act-pg's `serial`. What holds ids beside it is kept as narrow: node-postgres reads int8 as a string. */
export const hasNarrowIds = (events: TableInfo | undefined): boolean =>
  events?.columns.get("id")?.type === "integer";
