/** What seed() would do, statement by statement, and which locks it would take. */
import type { Context } from "../context.ts";
import { introspectAgain } from "../migrations/introspect.ts";
import { planMigration } from "../migrations/plan.ts";
import { idFactsQuery, planSequence, toIdFacts } from "../migrations/sequence.ts";
import type { Run } from "../postgres/index.ts";
import { tableNames } from "../schema/table-names.ts";

/** One statement that `seed()` would run. */
export type PlannedStep = {
  readonly statement: string;
  /** What it does, in words. Undefined for preparations. */
  readonly done: string | undefined;
  /**
   * The lock that it takes on its table. A change holds it until the migration's transaction ends, a concurrent index build
   * until the index is built. Undefined for none that matters.
   */
  readonly lock: string | undefined;
};

/** The first pattern that matches gives the lock: a concurrent index build also matches the pattern of an ordinary one. */
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

/** Indexes of large tables are built while the tables are in use. */
const online = (sql: string): string =>
  sql.replace(/^create (unique )?index /i, "create $1index concurrently ");

/** Empty if the tables are up to date. */
export async function plan({ names, connections }: Context): Promise<PlannedStep[]> {
  const run: Run = (query) => connections.read("admin", query);
  const catalog = await introspectAgain(run, names);
  const planned = planMigration(names, catalog, { online: connections.config.prepare });
  // Without the events table there is no sequence to look at.
  const [row] = catalog.relations.has(tableNames(names.table).events) ? await run(idFactsQuery(names)) : [];
  const { sequence } = row ? toIdFacts(row) : { sequence: null };
  const steps = [
    ...(planned?.locks ?? []),
    ...(planned?.changes ?? []),
    ...(sequence ? planSequence(sequence) : []),
    ...(planned?.builds ?? []).map(({ sql, done }) => ({ sql: online(sql), done })),
  ];
  return steps.map(({ sql, done }) => ({ statement: sql, done, lock: lockOf(sql) }));
}
