/**
 * Takes over tables that act-pg made: 0.4.6 (smallint retry, uuid leases, varchar(100) names) and every later
 * layout, in any state of upgrade. Runs before the plan, which adds what is missing. Nothing rewrites the events
 * table: int4 ids stay, varchar becomes text by its limit alone. act-pg works on the tables afterwards, so what it
 * reads keeps its type: node-postgres hands out int4 as a number, int8 as a string.
 */
import { literal, type Names } from "../schema/names.ts";
import {
  hasNarrowIds,
  introspectTables,
  isSingleCheckpoint,
  regclass,
  type TableInfo,
  type Tables,
} from "./introspect.ts";
import type { Run } from "./migration-lock.ts";

/** Something has to be altered before this store can work on the tables. */
function isOfActPg({ events, streams, correlated }: Tables): boolean {
  const typeOf = (found: TableInfo | undefined, column: string) => found?.columns.get(column)?.type ?? "";
  const varchar = (found: TableInfo | undefined, column: string) =>
    typeOf(found, column).startsWith("character");
  return (
    ["name", "stream"].some((column) => varchar(events, column)) ||
    ["stream", "source", "error", "lane", "leased_by"].some((column) => varchar(streams, column)) ||
    ["key", "leased_by"].some((column) => varchar(correlated, column)) ||
    typeOf(streams, "retry") === "smallint" ||
    typeOf(streams, "leased_by") === "uuid" ||
    typeOf(streams, "deferred_at") === "bigint" ||
    (streams !== undefined && !restsBelowZero(streams)) ||
    (streams !== undefined && !streams.columns.has("correlated_at")) ||
    (correlated !== undefined && isSingleCheckpoint(correlated))
  );
}

/** New rows of act-pg, which leaves `retry` to its default, are to start as ours do. */
const restsBelowZero = (streams: TableInfo) =>
  /^[('-]*-1\b/.test(streams.columns.get("retry")?.default ?? "");

type Alter = {
  readonly done: string[];
  (table: string, what: string): Promise<void>;
  /** Changes a column's type, if it is not that. */
  type(table: string, found: TableInfo, column: string, type: string, using?: string): Promise<void>;
};

function alterBy(run: Run, schema: string): Alter {
  const done: string[] = [];
  const alter = async (table: string, what: string) => {
    await run({ text: `alter table "${schema}"."${table}" ${what}` });
    done.push(`"${table}" ${what}`);
  };
  const type = async (table: string, { columns }: TableInfo, column: string, to: string, using?: string) => {
    const from = columns.get(column)?.type;
    if (from === undefined || from === to) return;
    await refuseViews(run, schema, table, column);
    await run({
      text: `alter table "${schema}"."${table}" alter column ${column} type ${to}${using ? ` using ${using}` : ""}`,
    });
    done.push(`"${table}"."${column}" ${from} -> ${to}`);
  };
  return Object.assign(alter, { done, type });
}

/** PostgreSQL does not change the type of a column that a view shows, and does not say which view it is. */
async function refuseViews(run: Run, schema: string, table: string, column: string): Promise<void> {
  const rows = await run({
    text: `select distinct format('%I.%I', n.nspname, v.relname) as name
from pg_depend d
join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
join pg_class v on v.oid = r.ev_class
join pg_namespace n on n.oid = v.relnamespace
join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.refclassid = 'pg_class'::regclass and d.refobjid = ${regclass(schema, table)} and a.attname = ${literal(column)}`,
  });
  if (rows.length === 0) return;
  throw new Error(
    `the type of "${schema}"."${table}"."${column}" has to change, but it is shown by ${rows.map((row) => row.name).join(", ")}: drop that view, seed, and create it again`,
  );
}

/** What was done, in words. Nothing for tables of this store. */
export async function adopt(run: Run, names: Names, found: Tables): Promise<string[]> {
  const alter = alterBy(run, names.schema);
  if (isOfActPg(found)) await adoptTables(run, names, found, alter);
  if (hasNarrowIds(found.events) && found.streams) await adoptMarks(run, names, alter);
  return alter.done;
}

async function adoptTables(run: Run, names: Names, found: Tables, alter: Alter): Promise<void> {
  const { table, schema } = names;
  // All locks first, in the order in which restore takes them.
  const present = [
    found.events && table,
    found.streams && `${table}_streams`,
    found.correlated && `${table}_correlated`,
  ];
  for (const name of present)
    if (name) await run({ text: `lock table "${schema}"."${name}" in access exclusive mode` });
  const { events, streams, correlated } = await introspectTables(run, names);
  if (events) for (const column of ["name", "stream"]) await alter.type(table, events, column, "text");
  if (streams) await adoptStreams(names, streams, events, alter);
  if (correlated) await adoptCheckpoints(run, names, correlated, alter);
}

/** Which events resolve to a row without a mark is unknown. All of them is safe: at worst a fetch finds nothing. */
async function adoptMarks(run: Run, { events, streams }: Names, alter: Alter): Promise<void> {
  const [row] = await run({
    text: `with head as materialized (select coalesce(max(id), -1) as id from ${events}), marked as (
  update ${streams} set correlated_at = head.id from head where correlated_at is null returning 1
) select count(*)::int as count, (select id from head) as head from marked`,
  });
  if (Number(row?.count) > 0)
    alter.done.push(`${row?.count} subscriptions without a mark marked up to event ${row?.head}`);
}

async function adoptStreams(
  names: Names,
  streams: TableInfo,
  events: TableInfo | undefined,
  alter: Alter,
): Promise<void> {
  const table = `${names.table}_streams`;
  const { columns } = streams;
  for (const column of ["stream", "source", "error", "lane", "leased_by"])
    await alter.type(table, streams, column, "text");
  // 0.4.6, known by `leased_at`: its counter rested at 0 and the first attempt was 0 too; here it rests at -1.
  const restsAtZero = columns.has("leased_at") && columns.get("retry")?.type === "smallint";
  await alter.type(table, streams, "retry", "integer", restsAtZero ? "retry - 1" : undefined);
  if (!restsBelowZero(streams)) await alter(table, "alter column retry set default -1");
  if (columns.get("deferred_at")?.type === "bigint") {
    const time = "to_timestamp(deferred_at / 1000.0)";
    await alter.type(table, streams, "deferred_at", "timestamp with time zone", time);
  }
  if (!columns.has("correlated_at"))
    await alter(table, `add column correlated_at ${hasNarrowIds(events) ? "integer" : "bigint"}`);
}

/**
 * A checkpoint in a row with an id becomes the shared one, under the key ''. The id stays unique and keeps
 * finding that row, by which act-pg goes on to upsert it; the rows of correlators have none.
 */
async function adoptCheckpoints(run: Run, names: Names, correlated: TableInfo, alter: Alter): Promise<void> {
  const table = `${names.table}_correlated`;
  if (!isSingleCheckpoint(correlated)) {
    for (const column of ["key", "leased_by"]) await alter.type(table, correlated, column, "text");
    return;
  }
  if (!correlated.columns.has("at")) await alter(table, "rename column correlated_at to at");
  // Without this row act-pg's next insert would take the key '' from ours.
  if (correlated.columns.get("id")?.default)
    await run({
      text: `insert into ${names.correlated} (at) select -1 where not exists (select from ${names.correlated})`,
    });
  const [primary] = await run({
    text: `select conname as name from pg_constraint where conrelid = ${regclass(names.schema, table)} and contype = 'p'`,
  });
  if (primary) await alter(table, `drop constraint "${String(primary.name)}"`);
  await alter(table, "alter column id drop not null, alter column id drop default, add unique (id)");
  await alter(table, "add column key text not null default '' primary key");
}
