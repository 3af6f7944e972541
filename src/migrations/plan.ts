/**
 * Plans a migration, as a pure function: from what the catalog shows to the statements that complete it. A plan deletes
 * no rows, and rewrites no table that holds events.
 */
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import { lacksDefaultMark, planAdoption } from "./adopt-act-pg.ts";
import type { Change } from "./change.ts";
import type { Catalog, Relation } from "./introspect.ts";
import { type IndexStep, indexSteps, migrationSteps, type Step } from "./migration-steps.ts";
import { type Build, planIndex, unfinishedIndexes } from "./plan-indexes.ts";
import { hasKeys, keysMissing, planKeys } from "./plan-keys.ts";
import { type Check, planNulls } from "./plan-nulls.ts";
import { actionFor, recordOf, VERSION, withRecord } from "./record.ts";
import { refuseRequired } from "./refuse-required.ts";
import { columnOf, findStoreTables, hasNarrowIds } from "./store-tables.ts";

export type Plan = {
  /** Applied first. Then the catalog has to be read again, because it may have changed before the locks were granted. */
  readonly locks: readonly Change[];
  /** Queries that find rows which the store cannot work with. */
  readonly checks: readonly Check[];
  readonly changes: readonly Change[];
  /** Done after the changes are committed. */
  readonly builds: readonly Build[];
};

const storageMissing = (relation: Relation | undefined, step: Step & { kind: "storage" }) => {
  const known = new Set(relation?.options.map((option) => option.split("=")[0]));
  return step.options.filter(({ name }) => !known.has(name));
};

/**
 * True if the record, the columns and the keys are complete, and either nothing else is missing, or this role does not own all
 * tables, so that it cannot add the rest. The record alone proves nothing: `drizzle-kit push` with another release's
 * schema drops the columns and indexes that the other schema lacks, and leaves the record.
 *
 * @throws for tables that only a newer release can work on.
 */
export function isCurrent(names: Names, catalog: Catalog): boolean {
  return canWork(names, catalog) && (!mayComplete(names, catalog) || unfinished(names, catalog).length === 0);
}

/** True if the record, the columns and the keys are complete, so that the store can work. */
function canWork(names: Names, { relations }: Catalog): boolean {
  const record = recordOf(relations.get(names.table)?.comment);
  const action = actionFor(record);
  if (action === "refuse")
    throw new Error(
      `"${names.schema}"."${names.table}" was made by a newer act-drizzle (schema ${record?.oldest}, this release knows ${VERSION}): upgrade the package`,
    );
  if (action === "migrate" || !hasKeys(names, relations)) return false;
  return migrationSteps(names).every((step) => {
    if (step.kind !== "table" && step.kind !== "columns") return true;
    const relation = relations.get(step.name);
    return step.columns.every(({ name }) => columnOf(relation, name) !== undefined);
  });
}

const mayComplete = ({ table }: Names, { relations }: Catalog) =>
  Object.values(tableNames(table)).every((name) => relations.get(name)?.owned === true);

/**
 * What the store can work without, and only an owner can fix: indexes that are missing, outdated, or left by an
 * interrupted build; keys, storage options and a default that are missing.
 */
export function unfinished(names: Names, catalog: Catalog): string[] {
  const { relations } = catalog;
  const storage = migrationSteps(names).filter(
    (step) => step.kind === "storage" && storageMissing(relations.get(step.name), step).length > 0,
  );
  return [
    ...unfinishedIndexes(names, catalog),
    ...keysMissing(names, relations),
    ...storage.map(({ name }) => name),
    ...(lacksDefaultMark(names, catalog) ? [`${tableNames(names.table).streams}.correlated_at`] : []),
  ];
}

/**
 * The plan for tables as they are in the catalog; undefined if they are up to date. `online`: indexes of large tables
 * can be built CONCURRENTLY.
 *
 * @throws if tables or indexes of another application have the store's names, or if a newer release made the tables.
 */
export function planMigration(names: Names, catalog: Catalog, { online = true } = {}): Plan | undefined {
  refuseRequired(names, catalog);
  if (isCurrent(names, catalog)) return undefined;
  const of = tableNames(names.table);
  const recorded = recordOf(catalog.relations.get(of.events)?.comment) !== undefined;
  if (!recorded && catalog.encoding === "SQL_ASCII") throw new Error(sqlAscii(names));
  const before = findStoreTables(names, catalog);
  const { locks: adopting, changes: adoption, tables } = planAdoption(names, before, catalog);
  const keys = planKeys(names, tables);
  // An adoption locks all tables.
  const locks = adopting.length > 0 ? adopting : keys.locks;
  const nulls = recorded ? { checks: [], changes: [] } : planNulls(names, before);
  const planned = new PlannedRelations(names, catalog, online);
  for (const [name, relation] of [
    [of.events, tables.events],
    [of.streams, tables.streams],
    [of.correlated, tables.correlated],
  ] as const)
    if (relation) planned.set(name, relation);
  const steps = migrationSteps(names, { narrow: hasNarrowIds(before.events) });
  const migration = steps.flatMap((step) => planned.complete(step));
  // An index on an expression has statistics of its own, and autovacuum does not analyze a table that no longer grows.
  const indexed = migration.some(({ done }) => done?.startsWith("index "));
  const analyze = before.events && indexed ? [{ sql: `analyze ${names.events}, ${names.streams}` }] : [];
  const changes = [
    ...adoption,
    ...nulls.changes,
    ...keys.changes,
    ...migration,
    ...analyze,
    ...planned.record(),
  ];
  const checks = [...nulls.checks, ...keys.checks];
  const { builds } = planned;
  if (changes.length === 0) return { locks, checks, changes, builds };
  const schema = catalog.schemaExists
    ? []
    : [{ sql: `create schema "${names.schema}"`, done: `schema "${names.schema}" created` }];
  // The statements of the migrations name tables without their schema.
  const path = { sql: `set local search_path = "${names.schema}"` };
  return { locks, checks, changes: [...schema, path, ...changes], builds };
}

/** In a SQL_ASCII database a character is a byte: "." of a pattern matches half of an "é", and names sort differently. */
export const sqlAscii = ({ schema, table }: Names): string =>
  `"${schema}"."${table}": the database has the encoding SQL_ASCII, in which patterns count bytes instead of characters: create a database with ENCODING 'UTF8' TEMPLATE template0, and copy the data (pg_dump --encoding)`;

/** The relations as the changes planned so far leave them. */
class PlannedRelations {
  readonly builds: Build[] = [];
  readonly #names: Names;
  readonly #catalog: Catalog;
  readonly #online: boolean;
  readonly #relations: Map<string, Relation>;
  readonly #indexes: ReadonlyMap<string, IndexStep>;

  constructor(names: Names, catalog: Catalog, online: boolean) {
    this.#names = names;
    this.#catalog = catalog;
    this.#online = online;
    this.#relations = new Map(catalog.relations);
    this.#indexes = new Map(indexSteps(names).map((step) => [step.name, step]));
  }

  set(name: string, relation: Relation): void {
    this.#relations.set(name, relation);
  }

  /** The changes that one step of the migrations still needs. */
  complete(step: Step): Change[] {
    switch (step.kind) {
      case "table":
      case "columns":
        return this.#completeColumns(step);
      case "index":
        return this.#completeIndex(step);
      case "storage":
        return this.#completeStorage(step);
    }
  }

  /** Records the migration in the table's comment. A role that does not own the table cannot, and checks again at each boot. */
  record(): Change[] {
    const events = this.#relations.get(this.#names.table);
    if (!events?.owned) return [];
    const comment = withRecord(events.comment ?? undefined);
    // COMMENT would wait for a CREATE INDEX CONCURRENTLY of another process, so it is left out if nothing changes.
    if (comment === events.comment) return [];
    return [{ sql: `comment on table ${this.#names.events} is ${literal(comment)}` }];
  }

  #completeColumns(step: Step & { kind: "table" | "columns" }): Change[] {
    const { schema } = this.#names;
    const relation = this.#relations.get(step.name);
    if (step.kind === "table" && !relation) {
      this.set(step.name, created(step.name, step.columns));
      return [{ sql: step.sql, done: `table "${step.name}" created` }];
    }
    const missing = step.columns.filter(({ name }) => !columnOf(relation, name));
    if (relation)
      this.set(step.name, { ...relation, columns: [...relation.columns, ...missing.map(toColumn)] });
    return missing.map(({ name, definition }) => ({
      sql: `alter table "${schema}"."${step.name}" add column "${name}" ${definition}`,
      done: `column "${step.name}"."${name}" added`,
    }));
  }

  #completeIndex({ name }: Step): Change[] {
    const step = this.#indexes.get(name);
    if (!step) return [];
    const { changes, builds } = planIndex(this.#names, this.#catalog, step, this.#online);
    this.builds.push(...builds);
    return [...changes];
  }

  /** Sets missing storage options, which only an owner can. Options that a user has set stay. */
  #completeStorage(step: Step & { kind: "storage" }): Change[] {
    const relation = this.#relations.get(step.name);
    if (!relation?.owned) return [];
    const missing = storageMissing(relation, step);
    if (missing.length === 0) return [];
    const list = missing.map(({ name, value }) => `${name} = ${value}`).join(", ");
    return [{ sql: `alter table "${this.#names.schema}"."${step.name}" set (${list})` }];
  }
}

type Definition = { readonly name: string; readonly definition: string };

const toColumn = ({ name, definition }: Definition) => ({
  name,
  type: definition.split(" ")[0] ?? "",
  default: null,
  notNull: definition.includes("NOT NULL"),
  users: [],
  partitions: false,
});

const created = (name: string, columns: readonly Definition[]): Relation => ({
  name,
  kind: "r",
  owned: true,
  comment: null,
  bytes: 0,
  restricted: false,
  options: [],
  columns: columns.map(toColumn),
  required: [],
  primaryKey: null,
  keys: [],
  index: null,
});
