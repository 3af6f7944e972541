/**
 * How far the projections of `act-drizzle/projections` have come: the tables of positions that the store's database has,
 * and the rebuilds that run or have died. Read models in another database are not seen.
 */
import * as z from "zod";
import type { Context } from "../context.ts";
import { literal } from "../schema/names.ts";
import { REBUILD_PROGRESS, rebuildSchema } from "../values/rebuild-schema.ts";
import { boundedCount, type Count, countOf, epochMs, instant } from "./bounded.ts";

/** A table of positions, and the projections in it. */
export type PositionsTable = {
  readonly schema: string;
  readonly table: string;
  /** Why it could not be read. */
  readonly problem: string | undefined;
  /** In order of their name, at most 50. */
  readonly projections: readonly ProjectionState[];
  /** There are more. */
  readonly cut: boolean;
};

/** How far one projection is. Positions are ids of events. */
export type ProjectionState = {
  readonly projection: string;
  /** Which run it is, from 0: a rebuild in place, and redeliver(), raise it. */
  readonly generation: number;
  readonly since: Date;
  readonly targets: Count;
  /** The lowest and the highest position of the targets that were counted. */
  readonly lowest: number | undefined;
  readonly highest: number | undefined;
  /** Set by a rebuild: the tables hold every event up to this id, whatever its target. */
  readonly builtUpTo: number | undefined;
  /** A rebuild that runs, or that has died. `at`: the id up to which it has filled the tables. */
  readonly rebuild: { readonly at: number; readonly inPlace: boolean } | undefined;
  /**
   * The targets that are furthest behind, at most 20. `handlers`: those that are done with event `at`; an empty list
   * means all of them.
   */
  readonly positions: readonly {
    readonly target: string;
    readonly at: number;
    readonly handlers: readonly string[];
  }[];
};

const TABLES = 10;
const PROJECTIONS = 50;
const POSITIONS = 20;
/** Targets of a projection that are looked at. */
const SCAN_LIMIT = 5_000;
const COLUMNS = ["projection", "target", "at", "handlers", "generation", "since"];

const TABLES_TEXT = `select n.nspname as schema, c.relname as table, format('%I.%I', n.nspname, c.relname) as name,
  has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg_toast%'
  and n.nspname not like 'pg_temp%' and n.nspname not like 'act_rebuild_%'
  and (select count(*) from pg_attribute a where a.attrelid = c.oid and not a.attisdropped and a.attnum > 0
    and a.attname = any(array[${COLUMNS.map(literal).join(", ")}]::name[])) = ${COLUMNS.length}
order by 1, 2 limit ${TABLES}`;

const tableRow = z.object({ schema: z.string(), table: z.string(), name: z.string(), readable: z.boolean() });
type Table = z.infer<typeof tableRow>;

/** `name` is quoted and qualified. */
export const positionsText = (name: string): string => {
  const own = `from ${name} p where p.projection = n.projection and p.target <> ''`;
  return `with recursive n(projection) as (
  (select p.projection from ${name} p order by p.projection limit 1)
  union all
  select (select p.projection from ${name} p where p.projection > n.projection order by p.projection limit 1)
  from n where n.projection is not null
), names as (select projection from n where projection is not null limit ${PROJECTIONS + 1})
select n.projection, ${countOf(own, SCAN_LIMIT)} as targets, t.lowest, t.highest, f.at as floor, to_jsonb(f.handlers) as held_handlers,
  greatest(t.generation, f.generation, 0) as generation, ${epochMs("greatest(t.since, f.since)")} as since,
  (select coalesce(jsonb_agg(to_jsonb(b) order by b.at, b.target), '[]') from (
    select c.target, c.at, coalesce(c.handlers, '{}') as handlers from (select p.* ${own} limit ${SCAN_LIMIT}) c
    order by c.at, c.target limit ${POSITIONS}) b) as positions
from names n
left join lateral (select min(c.at) as lowest, max(c.at) as highest, max(c.generation) as generation, max(c.since) as since
  from (select p.* ${own} limit ${SCAN_LIMIT}) c) t on true
left join ${name} f on f.projection = n.projection and f.target = ''
order by n.projection`;
};

const optionalId = z.coerce.number().nullable();
const stateRow = z.object({
  projection: z.string(),
  targets: boundedCount(SCAN_LIMIT),
  lowest: optionalId,
  highest: optionalId,
  floor: optionalId,
  held_handlers: z.array(z.string()).nullable(),
  generation: z.number(),
  since: instant,
  positions: z.array(z.object({ target: z.string(), at: z.number(), handlers: z.array(z.string()) })),
});

/** How far the shadows are filled, of those projections that have shadows. */
async function rebuildsOf(
  { connections }: Context,
  { schema, table }: Table,
  projections: readonly string[],
): Promise<Map<string, number>> {
  const schemas = new Map(
    projections.map((name) => [rebuildSchema(schema === "public" ? "" : schema, table, name), name]),
  );
  const there = await connections.read("admin", {
    text: `select n.nspname as schema, format('%I.%I', n.nspname, c.relname) as name
from pg_namespace n join pg_class c on c.relnamespace = n.oid and c.relname = ${literal(REBUILD_PROGRESS)}
where n.nspname in (select jsonb_array_elements_text($1::text::jsonb))
  and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')`,
    params: [JSON.stringify([...schemas.keys()])],
  });
  const found = new Map<string, number>();
  for (const { schema: of, name } of there) {
    const [row] = await connections.read("admin", { text: `select at from ${name} limit 1` });
    const projection = schemas.get(String(of));
    if (row && projection !== undefined) found.set(projection, Number(row.at));
  }
  return found;
}

async function statesOf(context: Context, table: Table): Promise<PositionsTable> {
  const { schema, table: own, name, readable } = table;
  const where = { schema, table: own };
  if (!readable) return { ...where, problem: "The role may not read it.", projections: [], cut: false };
  const rows = z
    .array(stateRow)
    .parse(await context.connections.read("admin", { text: positionsText(name) }));
  const shown = rows.slice(0, PROJECTIONS);
  const rebuilds = await rebuildsOf(
    context,
    table,
    shown.map(({ projection }) => projection),
  );
  return {
    ...where,
    problem: undefined,
    cut: rows.length > PROJECTIONS,
    projections: shown.map(({ lowest, highest, floor, held_handlers: heldHandlers, ...state }) => {
      const shadow = rebuilds.get(state.projection);
      const rebuild = heldHandlers
        ? { at: floor ?? -1, inPlace: true }
        : shadow === undefined
          ? undefined
          : { at: shadow, inPlace: false };
      return {
        ...state,
        lowest: lowest ?? undefined,
        highest: highest ?? undefined,
        builtUpTo: heldHandlers || floor === null || floor < 0 ? undefined : floor,
        rebuild,
      };
    }),
  };
}

export async function projections(context: Context): Promise<PositionsTable[]> {
  const tables = z.array(tableRow).parse(await context.connections.read("admin", { text: TABLES_TEXT }));
  const found: PositionsTable[] = [];
  for (const table of tables) found.push(await statesOf(context, table));
  return found;
}
