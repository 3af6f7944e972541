/**
 * Plans a migration, as a pure function: from what the catalog shows to the statements that complete it. A plan deletes
 * no rows, and rewrites no table that holds events.
 */
import { literal, type Names } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import { planAdoption } from "./adopt-act-pg.ts";
import type { Change } from "./change.ts";
import type { Catalog, Relation } from "./introspect.ts";
import { migrationSteps, type Step } from "./migration-steps.ts";
import { actionFor, recordOf, VERSION, withRecord } from "./record.ts";
import { columnOf, findStoreTables, hasNarrowIds } from "./store-tables.ts";

export type Plan = {
  /** To be applied first. Then the catalog has to be read again: somebody may have changed it meanwhile. */
  readonly locks: readonly Change[];
  readonly changes: readonly Change[];
};

/**
 * True if the record says that this release's migrations were applied, and all their columns exist. The record alone
 * does not prove that: `drizzle-kit push` from an older release's schema drops the columns that it does not know, and
 * leaves the comment.
 *
 * @throws for tables that only a newer release can work on.
 */
export function isCurrent(names: Names, { relations }: Catalog): boolean {
  const record = recordOf(relations.get(names.table)?.comment);
  const action = actionFor(record);
  if (action === "refuse")
    throw new Error(
      `"${names.schema}"."${names.table}" was made by a newer act-drizzle (schema ${record?.oldest}, this release knows ${VERSION}): upgrade the package`,
    );
  if (action === "migrate") return false;
  return migrationSteps(names).every((step) => {
    if (step.kind !== "table" && step.kind !== "columns") return true;
    const relation = relations.get(step.name);
    return step.columns.every(({ name }) => columnOf(relation, name) !== undefined);
  });
}

/**
 * The plan for tables as they are in the catalog; undefined if they are up to date.
 *
 * @throws if tables or indexes of something else stand in the way, or a newer release's tables.
 */
export function planMigration(names: Names, catalog: Catalog): Plan | undefined {
  if (isCurrent(names, catalog)) return undefined;
  const before = findStoreTables(names, catalog);
  const { locks, changes: adoption, tables } = planAdoption(names, before);
  const planned = new PlannedRelations(names, catalog);
  const of = tableNames(names.table);
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
  const changes = [...adoption, ...migration, ...analyze, ...planned.record()];
  if (changes.length === 0) return { locks, changes };
  const schema = catalog.schemaExists
    ? []
    : [{ sql: `create schema "${names.schema}"`, done: `schema "${names.schema}" created` }];
  // The statements of the migrations name tables without their schema.
  return { locks, changes: [...schema, { sql: `set local search_path = "${names.schema}"` }, ...changes] };
}

/** The relations as the changes planned so far leave them. */
class PlannedRelations {
  readonly #names: Names;
  readonly #relations: Map<string, Relation>;

  constructor(names: Names, { relations }: Catalog) {
    this.#names = names;
    this.#relations = new Map(relations);
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

  /** A role that does not own a complete schema works on it without recording it, and looks again at its next boot. */
  record(): Change[] {
    const events = this.#relations.get(this.#names.table);
    if (!events?.owned) return [];
    return [
      {
        sql: `comment on table ${this.#names.events} is ${literal(withRecord(events.comment ?? undefined))}`,
      },
    ];
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

  #completeIndex(step: Step & { kind: "index" }): Change[] {
    const { schema } = this.#names;
    const found = this.#relations.get(step.name);
    if (!found) return [{ sql: step.sql, done: `index "${step.name}" created` }];
    if (found.index?.table !== step.table)
      throw new Error(
        `"${schema}"."${step.name}" is not an index of "${step.table}": rename it, or choose another table name. Nothing was changed`,
      );
    if (step.unique && !found.index.unique)
      throw new Error(
        `the index "${schema}"."${step.name}" is not unique: drop it, and seed() creates it. Nothing was changed`,
      );
    if (found.index.valid) return [];
    return [
      { sql: `drop index "${schema}"."${step.name}"` },
      { sql: step.sql, done: `index "${step.name}" was invalid and is rebuilt` },
    ];
  }

  /** Only an owner can set storage options. Options that somebody chose stay: setting them would take a lock. */
  #completeStorage(step: Step & { kind: "storage" }): Change[] {
    const relation = this.#relations.get(step.name);
    if (!relation?.owned) return [];
    const known = new Set(relation.options.map((option) => option.split("=")[0]));
    const missing = step.options.filter(({ name }) => !known.has(name));
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
  views: [],
});

const created = (name: string, columns: readonly Definition[]): Relation => ({
  name,
  kind: "r",
  owned: true,
  comment: null,
  options: [],
  columns: columns.map(toColumn),
  primaryKey: null,
  index: null,
});
