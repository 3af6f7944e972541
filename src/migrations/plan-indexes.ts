/** Plans the indexes: which are missing, invalid or have another definition, and how they are built. */
import type { Names } from "../schema/names.ts";
import type { Change } from "./change.ts";
import { hasDefinition } from "./index-definition.ts";
import type { Catalog, Relation } from "./introspect.ts";
import { type IndexStep, indexSteps } from "./migration-steps.ts";

/** Builds or replaces one index while its table is in use, outside of a transaction. */
export type Build = IndexStep & {
  /** A text that says what is done. */
  readonly done: string;
};

export type IndexPlan = { readonly changes: readonly Change[]; readonly builds: readonly Build[] };

/**
 * Indexes of tables of at least this size are built CONCURRENTLY. For a smaller table a build takes about 0.1 s, while
 * CONCURRENTLY would wait for every older transaction of the database.
 */
export const LARGE_BYTES = 8 * 1024 * 1024;

/** Why the index has to be built; undefined if it is valid and has the definition of the step. */
function fault(found: Relation | undefined, step: IndexStep): string | undefined {
  if (!found) return "created";
  if (found.index?.valid !== true) return "was invalid and is rebuilt";
  if (!hasDefinition(found.index.definition, step.sql)) return "had another definition and is rebuilt";
  return undefined;
}

const leftovers = ({ relations }: Catalog, { next, old }: IndexStep): string[] =>
  [next, old].filter((name) => relations.has(name));

/** @throws if one of an index's names belongs to something else, or if the index on (stream, version) is not unique. */
function refuse({ schema }: Names, { relations }: Catalog, step: IndexStep): void {
  for (const name of [step.name, step.next, step.old]) {
    const found = relations.get(name);
    if (found && found.index?.table !== step.table)
      throw new Error(
        `"${schema}"."${name}" is not an index of "${step.table}": rename it, or choose another table name. Nothing was changed`,
      );
  }
  if (step.unique && relations.get(step.name)?.index?.unique === false)
    throw new Error(
      `the index "${schema}"."${step.name}" is not unique: drop it, and seed() creates it. Nothing was changed`,
    );
}

/** The indexes that differ from those of a new store, and those that an interrupted build left behind. */
export function unfinishedIndexes(names: Names, catalog: Catalog): string[] {
  return indexSteps(names).flatMap((step) => [
    ...(fault(catalog.relations.get(step.name), step) ? [step.name] : []),
    ...leftovers(catalog, step),
  ]);
}

/**
 * Plans one index. For a large table it becomes a build, unless `online` is false. Otherwise the migration's transaction
 * creates it.
 *
 * @throws if one of its names belongs to something else.
 */
export function planIndex(names: Names, catalog: Catalog, step: IndexStep, online: boolean): IndexPlan {
  refuse(names, catalog, step);
  const found = catalog.relations.get(step.name);
  const why = fault(found, step);
  const left = leftovers(catalog, step);
  if (!why && left.length === 0) return { changes: [], builds: [] };
  const done = `index "${step.name}" ${why ?? "is complete"}`;
  // The size is unknown for partitioned tables, whose indexes PostgreSQL cannot build concurrently.
  if (online && (catalog.relations.get(step.table)?.bytes ?? 0) >= LARGE_BYTES)
    return { changes: [], builds: [{ ...step, done }] };
  // Whether the user has built it beforehand under the name `next`, as the migration guide describes.
  const built = why !== undefined && !fault(catalog.relations.get(step.next), step);
  const dropped = [
    ...left.filter((name) => !built || name !== step.next),
    ...(why && found ? [step.name] : []),
  ];
  const changes: Change[] = dropped.map((name) => ({
    sql: `drop index "${names.schema}"."${name}"`,
    ...(why ? {} : { done: `index "${name}" dropped, which an interrupted build left` }),
  }));
  const rename = `alter index "${names.schema}"."${step.next}" rename to "${step.name}"`;
  if (why) changes.push({ sql: built ? rename : step.sql, done });
  return { changes, builds: [] };
}
