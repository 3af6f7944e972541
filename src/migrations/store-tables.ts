/** Tells a store's tables from tables of other applications. */
import type { Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import type { Catalog, Relation } from "./introspect.ts";

export type StoreTables = {
  readonly events: Relation | undefined;
  readonly streams: Relation | undefined;
  readonly correlated: Relation | undefined;
};

/** Columns that a table must have, with their types. */
type Shape = Readonly<Record<string, RegExp>>;

const NUMBER = /^(integer|bigint)$/;
const TEXT = /^(text|character varying.*)$/;
const JSONB = /^jsonb$/;
const TIME = /^timestamp(\(\d\))? with time zone$/;

/** The columns that every release of act-pg and of this store has created. Later columns may be missing: they are added. */
const EVENTS: Shape = {
  id: NUMBER,
  name: TEXT,
  data: JSONB,
  stream: TEXT,
  version: NUMBER,
  created: TIME,
  meta: JSONB,
};
const STREAMS: Shape = { stream: TEXT, at: NUMBER, retry: /^(smallint|integer)$/, blocked: /^boolean$/ };
const CORRELATED: Shape = { key: TEXT, at: NUMBER };
const SINGLE_CHECKPOINT: readonly Shape[] = [{ at: NUMBER }, { correlated_at: NUMBER }];

const LEASE: Shape = { leased_by: /^(text|uuid|character varying.*)$/, leased_until: TIME };
/**
 * The types that columns of later releases must have, if they exist. `created` did not come later. It is checked again
 * here because it needs milliseconds: a table with less precision may be the store's, but the store cannot use it.
 */
const LATER_EVENTS: Shape = {
  created: /^timestamp(\([3-6]\))? with time zone$/,
  pii: JSONB,
  dates: JSONB,
  token: /^uuid$/,
};
/** As {@link LATER_EVENTS}. */
const LATER_STREAMS: Shape = {
  ...LEASE,
  source: TEXT,
  error: TEXT,
  lane: TEXT,
  priority: /^integer$/,
  deferred_at: /^(timestamp(\(\d\))? with time zone|bigint)$/,
  correlated_at: NUMBER,
  skipped: JSONB,
};

export const columnOf = (relation: Relation | undefined, name: string) =>
  relation?.columns.find((column) => column.name === name);

/** act-pg once kept one checkpoint, in a row with an id. */
export const hasSingleCheckpoint = (correlated: Relation): boolean =>
  columnOf(correlated, "id") !== undefined && columnOf(correlated, "key") === undefined;

/**
 * act-pg creates ids as `serial`, which is int4. New columns beside them that hold ids are int4 as well, because
 * node-postgres returns int8 as a string.
 */
export const hasNarrowIds = (events: Relation | undefined): boolean =>
  columnOf(events, "id")?.type === "integer";

/** Why a relation cannot be the store's table; undefined if it can. */
function mismatch(relation: Relation, shape: Shape): string | undefined {
  if (relation.kind !== "r" && relation.kind !== "p") return "it is not a table";
  for (const [name, type] of Object.entries(shape)) {
    const found = columnOf(relation, name)?.type;
    if (found === undefined) return `it has no column "${name}"`;
    if (!type.test(found)) return `its column "${name}" is ${found}`;
  }
  return undefined;
}

/**
 * The store's tables that exist.
 *
 * @throws if a relation with one of their names belongs to another application: it must get no columns, and must not be
 * dropped.
 */
export function findStoreTables({ schema, table }: Names, { relations }: Catalog): StoreTables {
  const find = (name: string, later: Shape, shapesOf: (found: Relation) => readonly Shape[]) => {
    const found = relations.get(name);
    if (!found) return undefined;
    const mismatches = shapesOf(found).map((shape) => mismatch(found, shape));
    const reason = mismatches.at(-1);
    if (reason && !mismatches.includes(undefined))
      throw new Error(
        `"${schema}"."${name}" does not belong to this store, ${reason}: choose another schema or table name. Nothing was changed`,
      );
    for (const [column, type] of Object.entries(later)) {
      const actual = columnOf(found, column)?.type;
      if (actual !== undefined && !type.test(actual))
        throw new Error(
          `"${schema}"."${name}"."${column}" is ${actual}, which this store cannot use: change its type to that in PostgresStore.ddl(), or rename the column. Nothing was changed`,
        );
    }
    return found;
  };
  const { events, streams, correlated } = tableNames(table);
  return {
    events: find(events, LATER_EVENTS, () => [EVENTS]),
    streams: find(streams, LATER_STREAMS, () => [STREAMS]),
    correlated: find(correlated, LEASE, (found) =>
      hasSingleCheckpoint(found) ? SINGLE_CHECKPOINT : [CORRELATED],
    ),
  };
}
