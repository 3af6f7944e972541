/**
 * Plans keys that are missing: `create table … (like … including defaults)` and some tools of replication copy tables without
 * them. Without a key on the subscriptions or the checkpoints each subscribe fails (42P10), and without an index that
 * begins with `id` each commit walks the log (250 ms instead of 2 at 300,000 events in two partitions).
 */
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import type { Change } from "./change.ts";
import type { Relation } from "./introspect.ts";
import type { Check } from "./plan-nulls.ts";
import type { StoreTables } from "./store-tables.ts";

export type KeyPlan = {
  /** They are taken in the order of a restore, so that the two cannot deadlock. */
  readonly locks: readonly Change[];
  readonly checks: readonly Check[];
  readonly changes: readonly Change[];
};

type Key = { readonly relation: Relation; readonly column: string; readonly remedy: string };

const KEEP_ONE = `keep one row of each, that with the lowest "at"`;

/** The tables that lack their key; the log is the first. */
function missingKeys({ events, streams, correlated }: StoreTables): Key[] {
  const missing: Key[] = [];
  if (events && !isOrdered(events))
    missing.push({
      relation: events,
      column: "id",
      remedy: "give each event an id of its own, in the order of the log",
    });
  if (streams && !isKey(streams, "stream"))
    missing.push({ relation: streams, column: "stream", remedy: KEEP_ONE });
  if (correlated && !isKey(correlated, "key"))
    missing.push({ relation: correlated, column: "key", remedy: KEEP_ONE });
  return missing;
}

/** The unique indexes on exactly this column, which ON CONFLICT finds. */
const keysOn = ({ keys }: Relation, column: string) =>
  keys.filter(({ unique, columns }) => unique && columns.length === 1 && columns[0] === column);

/** Whether ON CONFLICT finds a key, and none that is deferrable. */
const isKey = (relation: Relation, column: string): boolean => {
  const keys = keysOn(relation, column);
  return keys.length > 0 && !keys.some(({ deferrable }) => deferrable);
};

/**
 * Whether an index of the log begins with `id`. It has to be unique, except in a log in partitions: there a unique index has to
 * contain the columns by which the log is partitioned.
 */
const isOrdered = ({ keys, kind }: Relation): boolean =>
  keys.some(({ unique, columns }) => columns[0] === "id" && (unique || kind === "p"));

const tablesIn = ({ table }: Names, relations: ReadonlyMap<string, Relation>): StoreTables => {
  const { events, streams, correlated } = tableNames(table);
  return {
    events: relations.get(events),
    streams: relations.get(streams),
    correlated: relations.get(correlated),
  };
};

/** The keys that are missing, as table and column. */
export const keysMissing = (names: Names, relations: ReadonlyMap<string, Relation>): string[] =>
  missingKeys(tablesIn(names, relations)).map(({ relation, column }) => `${relation.name}.${column}`);

/** Whether the store can work: a log without its key is slow, and the other tables without theirs refuse every subscribe. */
export const hasKeys = (names: Names, relations: ReadonlyMap<string, Relation>): boolean =>
  missingKeys({ ...tablesIn(names, relations), events: undefined }).length === 0;

/**
 * Plans the keys of tables that exist. The index of a key cannot be built CONCURRENTLY in the migration's transaction, so
 * appends wait until it is built.
 *
 * @throws if a key is deferrable, or if the store cannot work without one that this role may not add.
 */
export function planKeys({ schema, table }: Names, tables: StoreTables): KeyPlan {
  const plan = { locks: [] as Change[], checks: [] as Check[], changes: [] as Change[] };
  for (const { relation, column, remedy } of missingKeys(tables)) {
    const { name, kind, owned, primaryKey } = relation;
    const on = `"${schema}"."${name}"`;
    const isLog = name === table;
    if (!isLog && keysOn(relation, column).length > 0)
      throw new Error(
        `the key of ${on} is deferrable, and subscribe() fails with such a key: drop its constraint, and call seed() again. Nothing was changed`,
      );
    const add =
      isLog && kind === "p"
        ? `create index on ${on} ("${column}")`
        : `alter table ${on} add ${primaryKey === null ? "primary key" : "unique"} ("${column}")`;
    if (!owned) {
      if (isLog) continue;
      throw new Error(
        `${on} has no primary key, without which subscribe() fails, and the role may not add it: as its owner run: ${add}. Nothing was changed`,
      );
    }
    plan.changes.push({ sql: add, done: `key on "${name}"."${column}" added` });
    if (isLog && kind === "p") continue;
    plan.locks.push({ sql: `lock table ${on} in access exclusive mode` });
    const advice = `Correct them (${remedy}), and call seed() again. Nothing was changed`;
    plan.checks.push({
      sql: `select format('%s has no primary key, and cannot get one: %s of its rows have no "${column}", or that of another row. %s',
  ${literal(on)}, found.wrong, ${literal(advice)}) as refused
from (select count(*) - count(distinct "${column}") as wrong from ${on}) as found where found.wrong > 0`,
    });
  }
  return plan;
}
