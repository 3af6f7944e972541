/**
 * Plans how tables that act-pg made become tables of this store. They may have the layout of act-pg 0.4.6 (smallint retry,
 * uuid leases, varchar(100) names), any later one, or that of an upgrade that stopped halfway. The plan of the migrations
 * then adds missing columns and indexes.
 *
 * Nothing rewrites the events table: int4 ids stay, and varchar becomes text by losing its limit. act-pg still works on
 * the tables afterwards, so the columns that it reads keep their types: node-postgres returns int4 as a number and int8
 * as a string.
 */
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import type { Change } from "./change.ts";
import type { Catalog, ColumnInfo, Relation } from "./introspect.ts";
import { columnOf, hasNarrowIds, hasSingleCheckpoint, type StoreTables } from "./store-tables.ts";

export type Adoption = {
  /** Statements that lock the tables. The catalog has to be read again once the locks are held. */
  readonly locks: readonly Change[];
  readonly changes: readonly Change[];
  /** The tables as the changes leave them. */
  readonly tables: StoreTables;
};

const EVENTS_TEXTS = ["name", "stream"];
const STREAMS_TEXTS = ["stream", "source", "error", "lane", "leased_by"];
const CORRELATED_TEXTS = ["key", "leased_by"];

/** act-pg takes `retry` of a new row from the column's default. The first attempt is 0, so a new row starts at -1. */
const startsAtMinusOne = (streams: Relation) => /^[('-]*-1\b/.test(columnOf(streams, "retry")?.default ?? "");

/** True if act-pg's tables have to be altered before this store can work on them. */
function mustBeAltered({ events, streams, correlated }: StoreTables): boolean {
  const typeOf = (relation: Relation | undefined, column: string) => columnOf(relation, column)?.type ?? "";
  const hasVarchar = (relation: Relation | undefined, columns: readonly string[]) =>
    columns.some((column) => typeOf(relation, column).startsWith("character"));
  return (
    hasVarchar(events, EVENTS_TEXTS) ||
    hasVarchar(streams, STREAMS_TEXTS) ||
    hasVarchar(correlated, CORRELATED_TEXTS) ||
    typeOf(streams, "retry") === "smallint" ||
    typeOf(streams, "leased_by") === "uuid" ||
    typeOf(streams, "deferred_at") === "bigint" ||
    (streams !== undefined && !startsAtMinusOne(streams)) ||
    (streams !== undefined && !columnOf(streams, "correlated_at")) ||
    (correlated !== undefined && hasSingleCheckpoint(correlated))
  );
}

/** The changes to one table, and its columns after them. */
class TableChanges {
  readonly changes: Change[] = [];
  readonly #schema: string;
  #relation: Relation;

  constructor(schema: string, relation: Relation) {
    this.#schema = schema;
    this.#relation = relation;
  }

  /** The table as the changes leave it. */
  get relation(): Relation {
    return this.#relation;
  }

  alter(what: string, done = `"${this.#relation.name}" ${what}`): void {
    this.changes.push({ sql: `alter table "${this.#schema}"."${this.#relation.name}" ${what}`, done });
  }

  run(sql: string): void {
    this.changes.push({ sql });
  }

  addColumn(name: string, type: string, rest = ""): void {
    this.alter(`add column ${name} ${type}${rest}`);
    this.#columns([
      ...this.#relation.columns,
      { name, type, default: null, notNull: false, users: [], partitions: false },
    ]);
  }

  addPrimaryKey(column: string): void {
    this.alter(`add primary key (${column})`);
    this.#relation = {
      ...this.#relation,
      keys: [...this.#relation.keys, { unique: true, deferrable: false, columns: [column] }],
    };
  }

  renameColumn(from: string, to: string): void {
    this.alter(`rename column ${from} to ${to}`);
    this.#columns(this.#relation.columns.map((c) => (c.name === from ? { ...c, name: to } : c)));
  }

  /** Changes the type of a column that exists and has another type. */
  changeType(name: string, to: string, using?: string): void {
    const column = columnOf(this.#relation, name);
    if (!column || column.type === to) return;
    const table = this.#relation.name;
    if (column.users.length > 0)
      throw new Error(
        `the type of "${this.#schema}"."${table}"."${name}" has to change, but the column is used by ${column.users.join(", and ")}: drop what uses it, seed, and create it again (docs/guides/migrating-from-act-pg.md, "Before"). Nothing was changed`,
      );
    if (column.partitions)
      throw new Error(
        `the type of "${this.#schema}"."${table}"."${name}" has to change from ${column.type} to ${to}, but the table is partitioned by it: create the table anew with ${to}, and copy the rows (docs/guides/migrating-from-act-pg.md, "A log in partitions"). Nothing was changed`,
      );
    this.alter(
      `alter column ${name} type ${to}${using ? ` using ${using}` : ""}`,
      `"${table}"."${name}" ${column.type} -> ${to}`,
    );
    this.#columns(this.#relation.columns.map((c) => (c.name === name ? { ...c, type: to } : c)));
  }

  #columns(columns: ColumnInfo[]): void {
    this.#relation = { ...this.#relation, columns };
  }
}

/** Plans the adoption. The plan is empty for tables of this store. */
export function planAdoption(names: Names, tables: StoreTables, catalog: Catalog): Adoption {
  const adopted = mustBeAltered(tables) ? adoptTables(names, tables) : { locks: [], changes: [], tables };
  if (!tables.streams || !isMadeByActPg(tables)) return adopted;
  const changes = [...adopted.changes];
  if (lacksDefaultMark(names, catalog, true)) changes.push(...markNewRows(names, catalog));
  return { ...adopted, changes: [...changes, markSubscriptions(names)] };
}

/** Whether act-pg made the log: it has int4 ids, or, if they were widened by hand, no column that only this store adds. */
const isMadeByActPg = ({ events }: StoreTables) =>
  events !== undefined && (hasNarrowIds(events) || !(columnOf(events, "dates") || columnOf(events, "token")));

const LAST_VALUE_FUNCTION = "pg_sequence_last_value";

/**
 * True if rows that an older act-pg adds get no work mark: that release does not know the column, and its rows would
 * never be claimed here. Looks only at logs with int4 ids; with `adopting`, at those with bigint ids too.
 */
export function lacksDefaultMark(
  { table }: Names,
  { expressions, relations, sequence }: Catalog,
  adopting = false,
): boolean {
  const of = tableNames(table);
  if (!expressions || !sequence || !(adopting || hasNarrowIds(relations.get(of.events)))) return false;
  return (
    columnOf(relations.get(of.streams), "correlated_at")?.default?.includes(LAST_VALUE_FUNCTION) !== true
  );
}

/**
 * Gives column correlated_at a default: the last id that was drawn. At worst a fetch then finds no event. The default
 * applies only to rows of older act-pg releases: newer ones and this store name the column. The sequence is looked up by
 * its name at each insert, so that act-pg can still drop its tables one by one.
 */
function markNewRows({ streams }: Names, { sequence }: Catalog): Change[] {
  if (!sequence) return [];
  const found = `to_regclass(${literal(sequence)})`;
  return [
    {
      sql: `alter table ${streams} alter column correlated_at set default
  case when has_sequence_privilege(${found}::oid, 'usage, select') then ${LAST_VALUE_FUNCTION}(${found}) end`,
      done: "default of correlated_at set",
    },
  ];
}

function adoptTables(names: Names, { events, streams, correlated }: StoreTables): Adoption {
  const inTable = (relation: Relation | undefined) => relation && new TableChanges(names.schema, relation);
  const [ofEvents, ofStreams, ofCorrelated] = [inTable(events), inTable(streams), inTable(correlated)];
  for (const column of EVENTS_TEXTS) ofEvents?.changeType(column, "text");
  if (ofStreams) adoptStreams(ofStreams, events);
  if (ofCorrelated) adoptCheckpoints(names, ofCorrelated);
  // All locks come first, and the log is the first of them, as in a restore, so the two cannot deadlock.
  const existing = [ofEvents, ofStreams, ofCorrelated].filter((table) => table !== undefined);
  return {
    locks: existing.map(({ relation }) => ({
      sql: `lock table "${names.schema}"."${relation.name}" in access exclusive mode`,
    })),
    changes: existing.flatMap(({ changes }) => changes),
    tables: { events: ofEvents?.relation, streams: ofStreams?.relation, correlated: ofCorrelated?.relation },
  };
}

function adoptStreams(streams: TableChanges, events: Relation | undefined): void {
  const before = streams.relation;
  for (const column of STREAMS_TEXTS) streams.changeType(column, "text");
  // Column `leased_at` means act-pg 0.4.6. Its `retry` starts at 0, that of this store at -1.
  const startsAtZero = columnOf(before, "leased_at") && columnOf(before, "retry")?.type === "smallint";
  streams.changeType("retry", "integer", startsAtZero ? "retry - 1" : undefined);
  if (!startsAtMinusOne(before)) streams.alter("alter column retry set default -1");
  if (columnOf(before, "deferred_at")?.type === "bigint")
    streams.changeType("deferred_at", "timestamp with time zone", "to_timestamp(deferred_at / 1000.0)");
  if (!columnOf(before, "correlated_at"))
    streams.addColumn("correlated_at", hasNarrowIds(events) ? "integer" : "bigint");
}

/**
 * A checkpoint in a row with an id becomes the shared one, under the key ''. The id stays, and stays unique, because act-pg
 * upserts the row by it. The rows of correlators have no id.
 */
function adoptCheckpoints({ correlated }: Names, checkpoints: TableChanges): void {
  const before = checkpoints.relation;
  if (!hasSingleCheckpoint(before)) {
    for (const column of CORRELATED_TEXTS) checkpoints.changeType(column, "text");
    return;
  }
  if (!columnOf(before, "at")) checkpoints.renameColumn("correlated_at", "at");
  // Without this row, this store would create the row '' without an id, and act-pg's next insert would conflict with it.
  if (columnOf(before, "id")?.default)
    checkpoints.run(
      `insert into ${correlated} (at) select -1 where not exists (select 1 from ${correlated})`,
    );
  if (before.primaryKey !== null) checkpoints.alter(`drop constraint "${before.primaryKey}"`);
  checkpoints.alter("alter column id drop not null, alter column id drop default");
  // Citus refuses a constraint beside other changes.
  checkpoints.alter("add unique (id)");
  checkpoints.addColumn("key", "text", " not null default ''");
  checkpoints.addPrimaryKey("key");
}

/**
 * It is not known which events a subscription without a work mark still has to handle. So its mark becomes the log's last
 * event: at worst a fetch finds no event.
 */
const markSubscriptions = ({ events, streams }: Names): Change => ({
  sql: `with head as materialized (select coalesce(max(id), -1) as id from ${events}), marked as (
  update ${streams} set correlated_at = head.id from head where correlated_at is null returning 1
), counted as (select count(*) as count from marked)
select format('%s subscriptions without a mark marked up to event %s', counted.count, head.id) as done
from counted, head where counted.count > 0`,
});
