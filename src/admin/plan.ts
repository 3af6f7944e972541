/** What seed() would do, statement by statement, and which locks it would take. */
import type { Context } from "../context.ts";
import { introspect } from "../migrations/introspect.ts";
import { planMigration } from "../migrations/plan.ts";
import { planSequence } from "../migrations/sequence.ts";

export type PlannedStep = {
  readonly statement: string;
  /** What it does, in words. Undefined for preparations. */
  readonly done: string | undefined;
  /** The lock that its table is under until the migration's transaction ends. Undefined for none that matters. */
  readonly lock: string | undefined;
};

/** The strongest lock first: what a statement begins with decides. */
const LOCKS: readonly (readonly [RegExp, string])[] = [
  [/^(alter table|drop )/i, "ACCESS EXCLUSIVE: reads and writes of the table wait"],
  [/^lock table/i, "an explicit table lock"],
  [/^create (unique )?index concurrently/i, "SHARE UPDATE EXCLUSIVE: reads and writes go on"],
  [/^create (unique )?index/i, "SHARE: writes of the table wait, reads go on"],
  [/^(comment on|analyze)/i, "SHARE UPDATE EXCLUSIVE: reads and writes go on"],
  [/^alter sequence/i, "SHARE ROW EXCLUSIVE on the sequence: commits wait for a moment"],
  [/^(update|insert|delete)/i, "ROW EXCLUSIVE: reads and other rows' writes go on"],
];

const lockOf = (statement: string): string | undefined =>
  LOCKS.find(([pattern]) => pattern.test(statement.trim()))?.[1];

/** Empty if the tables are up to date. */
export async function plan({ names, connections }: Context): Promise<PlannedStep[]> {
  const catalog = await introspect((query) => connections.read("admin", query), names);
  const { locks, changes } = planMigration(names, catalog) ?? { locks: [], changes: [] };
  return [...locks, ...changes, ...planSequence(catalog.sequence)].map(({ sql, done }) => ({
    statement: sql,
    done,
    lock: lockOf(sql),
  }));
}
