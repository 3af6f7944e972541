/** For adopted columns that allow NULL, although this store needs NOT NULL: refuses rows with NULL, then sets NOT NULL. */
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import type { Change } from "./change.ts";
import { columnOf, type StoreTables } from "./store-tables.ts";

/** A query over the rows. If its first row has a text in column `refused`, the migration fails with that text. */
export type Check = { readonly sql: string };

type Column = { readonly name: string; readonly remedy: string };

/** Columns that must not be NULL, and how to replace a NULL. In `data` and `meta` act-pg allows NULL, and the store reads it. */
const EVENTS: readonly Column[] = [
  { name: "name", remedy: "give each event its name" },
  { name: "stream", remedy: "give each event its stream" },
  { name: "version", remedy: "number the events of each stream from 0 in order of id" },
  { name: "created", remedy: "give it the time of the event before it" },
];
const SUBSCRIPTIONS: readonly Column[] = [
  { name: "at", remedy: "set it to -1" },
  { name: "retry", remedy: "set it to -1" },
  { name: "blocked", remedy: "set it to false" },
  { name: "priority", remedy: "set it to 0" },
  { name: "lane", remedy: "set it to 'default'" },
];
const CHECKPOINTS: readonly Column[] = [{ name: "at", remedy: "set it to -1" }];

const quoted = (column: string) => `"${column}"`;

/** The plan is empty if all columns of these lists are NOT NULL, as in every table that act-pg creates. */
export function planNulls(
  names: Names,
  tables: StoreTables,
): { readonly checks: Check[]; readonly changes: Change[] } {
  const of = tableNames(names.table);
  const found = [
    { relation: tables.events, table: of.events, required: EVENTS },
    { relation: tables.streams, table: of.streams, required: SUBSCRIPTIONS },
    { relation: tables.correlated, table: of.correlated, required: CHECKPOINTS },
  ].map(({ relation, table, required }) => ({
    table,
    nullable: required.filter(({ name }) => columnOf(relation, name)?.notNull === false),
  }));
  const open = found.filter(({ nullable }) => nullable.length > 0);
  return {
    checks: open.map(({ table, nullable }) => ({ sql: checkText(names.schema, table, nullable) })),
    changes: open.map(({ table, nullable }) => ({
      sql: `alter table "${names.schema}"."${table}" ${nullable.map(({ name }) => `alter column ${quoted(name)} set not null`).join(", ")}`,
      done: nullable.map(({ name }) => `"${table}"."${name}" is not null from now on`).join(", "),
    })),
  };
}

function checkText(schema: string, table: string, columns: readonly Column[]): string {
  const counts = columns.map(
    ({ name, remedy }) =>
      `case when count(*) > count(${quoted(name)}) then format('%s without %s (${remedy.replaceAll("'", "''").replaceAll("%", "%%")})', count(*) - count(${quoted(name)}), ${literal(name)}) end`,
  );
  const problem = literal(`"${schema}"."${table}" holds rows that this store cannot work with: `);
  const advice = literal(". Correct them, and call seed() again. Nothing was changed");
  return `select ${problem} || what || ${advice} as refused
from (select concat_ws(', ', ${counts.join(", ")}) as what from "${schema}"."${table}") as counted where what <> ''`;
}
