/** Sizes of tables and indexes, what VACUUM left, how fast the log grows, and how many ids are left. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { idCapacityColumns } from "../schema/id-capacity.ts";
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import { checkGiven, millis, type Rules } from "../values/rules.ts";
import { epochMs, optionalInstant } from "./bounded.ts";
import { firstSince } from "./first-since.ts";

/** The size of a table of the store. */
export type TableSize = {
  readonly table: string;
  /** Bytes of the rows, with TOAST. */
  readonly tableBytes: number;
  readonly indexBytes: number;
  /** Rows by the planner's statistics; undefined before the first ANALYZE. */
  readonly estimatedRows: number | undefined;
  /** Rows that were deleted or replaced and that VACUUM has not removed. */
  readonly deadRows: number;
  readonly lastVacuum: Date | undefined;
  readonly lastAnalyze: Date | undefined;
};

/** The size of an index. `valid` is false if its build was interrupted. */
export type IndexSize = {
  readonly index: string;
  readonly table: string;
  readonly bytes: number;
  /** Scans since the server's statistics were reset. */
  readonly scans: number;
  readonly valid: boolean;
};

/**
 * How many ids are used. `last` is the highest id that the column and its sequence can hold; `share` is `used` divided
 * by `last`.
 */
export type IdCapacity = {
  /** Ids drawn so far; undefined if the role may not read the sequence. */
  readonly used: number | undefined;
  readonly last: number;
  /** 0 to 1. */
  readonly share: number | undefined;
};

/** Sizes in bytes, and ids that are left. */
export type Storage = {
  readonly tables: readonly TableSize[];
  readonly indexes: readonly IndexSize[];
  readonly ids: IdCapacity;
};

const bytes = z.coerce.number();
const tableRow = z
  .object({
    table: z.string(),
    table_bytes: bytes,
    index_bytes: bytes,
    rows: z.number(),
    dead: z.coerce.number(),
    vacuumed: optionalInstant,
    analyzed: optionalInstant,
  })
  .transform(
    (t): TableSize => ({
      table: t.table,
      tableBytes: t.table_bytes,
      indexBytes: t.index_bytes,
      estimatedRows: t.rows < 0 ? undefined : t.rows,
      deadRows: t.dead,
      lastVacuum: t.vacuumed,
      lastAnalyze: t.analyzed,
    }),
  );
const indexRow = z.object({
  index: z.string(),
  table: z.string(),
  bytes,
  scans: z.coerce.number(),
  valid: z.boolean(),
});
const storageRow = z.object({
  tables: z.array(tableRow),
  indexes: z.array(indexRow),
  ids_used: z.coerce.number().nullable(),
  highest_possible_id: z.coerce.number().nullable(),
});

export function storageText(names: Names): string {
  const list = Object.values(tableNames(names.table)).map(literal).join(", ");
  const ours = `c.relnamespace = to_regnamespace(${literal(`"${names.schema}"`)}) and c.relname in (${list})`;
  return `select
  (select coalesce(jsonb_agg(jsonb_build_object('table', c.relname,
    'table_bytes', pg_table_size(c.oid), 'index_bytes', pg_indexes_size(c.oid), 'rows', c.reltuples::bigint,
    'dead', coalesce(s.n_dead_tup, 0),
    'vacuumed', ${epochMs("greatest(s.last_vacuum, s.last_autovacuum)")},
    'analyzed', ${epochMs("greatest(s.last_analyze, s.last_autoanalyze)")}) order by c.relname), '[]')
    from pg_class c left join pg_stat_all_tables s on s.relid = c.oid where ${ours}) as tables,
  (select coalesce(jsonb_agg(jsonb_build_object('index', x.relname, 'table', c.relname, 'bytes', pg_relation_size(x.oid),
    'scans', coalesce(s.idx_scan, 0), 'valid', i.indisvalid) order by pg_relation_size(x.oid) desc, x.relname), '[]')
    from pg_class c join pg_index i on i.indrelid = c.oid join pg_class x on x.oid = i.indexrelid
    left join pg_stat_all_indexes s on s.indexrelid = x.oid where ${ours}) as indexes,
  ${idCapacityColumns(names)}`;
}

export async function storage({ names, connections }: Context): Promise<Storage> {
  const [row] = await connections.read("admin", { text: storageText(names) });
  const { tables, indexes, ids_used, highest_possible_id } = storageRow.parse(row);
  const used = ids_used ?? undefined;
  const capacity = highest_possible_id ?? Number.MAX_SAFE_INTEGER;
  return {
    tables,
    indexes,
    ids: { used, last: capacity, share: used === undefined ? undefined : used / capacity },
  };
}

/** Events that were committed in a window of time. */
export type Growth = {
  /** Length of the window in ms, which ends now. */
  readonly windowMs: number;
  readonly events: number;
  readonly perSecond: number;
};

type GrowthOptions = { readonly windowMs?: number | undefined };

const RULES: Rules<GrowthOptions> = { windowMs: millis(1) };

/**
 * Events that were committed in the last `windowMs`, by ids: the oldest one of the window is found by halving the log's
 * ids, so that it costs some 60 look-ups on a log of any size. Ids that were drawn and not used count too.
 */
export async function growth(context: Context, options: GrowthOptions = {}): Promise<Growth> {
  checkGiven("growth", options, RULES);
  const { windowMs = 60_000 } = options;
  const { first, last } = await firstSince(context, "now() - $1::float8 * interval '1 millisecond'", [
    windowMs,
  ]);
  const events = first === null || last === null ? 0 : Math.max(0, last - first + 1);
  return { windowMs, events, perSecond: (events * 1000) / windowMs };
}
