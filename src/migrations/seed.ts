/**
 * seed(): brings the store's tables to the layout of this release, whatever created them: introspect, plan, apply.
 *
 * Drizzle's own migrate() does not fit a library. It takes no lock (25 of 30 concurrent boots failed), and it skips a
 * library's migration that is older than the app's newest. So seed() applies the shipped migrations itself, under a
 * lock, object by object, and records them in the comment of the events table.
 */
import type { Context } from "../context.ts";
import { sanitize, toStoreError } from "../errors.ts";
import type { Run } from "../postgres/index.ts";
import { warnOfFutureEvents } from "../schema/future-events.ts";
import { warnOfIdCapacity } from "../schema/id-capacity.ts";
import type { Names } from "../schema/names.ts";
import { log } from "../values/log.ts";
import { buildIndexes } from "./build-indexes.ts";
import { apply } from "./change.ts";
import { engineQuery, refuseEngine } from "./engine.ts";
import { introspect } from "./introspect.ts";
import { look, lookAtIds } from "./look.ts";
import { withMigrationLock } from "./migration-lock.ts";
import { isCurrent, type Plan, planMigration, sqlAscii, unfinished } from "./plan.ts";
import { recordOf } from "./record.ts";
import { refuseRequired } from "./refuse-required.ts";
import { isInOrder, mendIdOrder, toIdFacts } from "./sequence.ts";

/**
 * Creates or completes schema, tables and indexes. Idempotent, and safe in many processes at the same time. On an
 * up-to-date schema it only reads the catalog and the log's last event, and takes no lock that a worker would wait for.
 *
 * @throws StoreError; the database is then as it was before, or lacks indexes of a large table, which the next seed()
 * builds.
 */
export async function seed(context: Context): Promise<void> {
  const { names, connections } = context;
  const title = `[act-drizzle] seed "${names.schema}"."${names.table}"`;
  try {
    const { row, catalog, ...looked } = await look(connections, names);
    warnOfIdCapacity(names, row);
    if (catalog.encoding === "SQL_ASCII" && recordOf(catalog.relations.get(names.table)?.comment))
      log().warn(`[act-drizzle] ${sqlAscii(names)}`);
    refuseRequired(names, catalog);
    const current = isCurrent(names, catalog);
    const ids = current && !looked.held ? await lookAtIds(connections, names) : undefined;
    warnOfFutureEvents(names, ids);
    if (looked.held || (current && ids === undefined))
      log().warn(
        `${title}: another session holds an exclusive lock on the tables. ${current ? "As far as it can be seen without reading them, nothing has to be changed: seed() does not wait" : "seed() waits for it, because the tables have to be changed"}`,
      );
    // Only for a role that is not the owner: for an owner the tables would not count as current.
    const missing = current ? unfinished(names, catalog) : [];
    if (missing.length > 0)
      log().warn(
        `${title}: missing, outdated, or left by an interrupted build: ${missing.join(", ")}. seed() by the tables' owner fixes that`,
      );
    if (current && (ids === undefined || isInOrder(toIdFacts(ids)))) return;
    const work = current ? mendIdOrder : migrate;
    let indexes = false;
    const done = await withMigrationLock(context, "seed", (run) =>
      work(run, names, {
        online: connections.config.prepare,
        later: () => {
          indexes = true;
        },
      }),
    );
    if (indexes) done.push(...(await buildIndexes(context)));
    if (done.length > 0) log().info(`${title}: ${done.join(", ")}`);
  } catch (error) {
    const wrapped = toStoreError("seed", error);
    const cause = wrapped.cause instanceof Error ? wrapped.cause : sanitize(error);
    log().error(`${title} failed: ${cause.message}`);
    throw wrapped;
  }
}

type Options = {
  /** False behind a pooler in transaction mode: building an index CONCURRENTLY needs a session. */
  readonly online: boolean;
  /** Called if indexes have to be built afterwards. */
  readonly later: () => void;
};

/** Returns the texts that say what was done. */
async function migrate(run: Run, names: Names, { online, later }: Options): Promise<string[]> {
  // The migration lock is held now, so the query can see whether the server has advisory locks.
  refuseEngine((await run(engineQuery))[0]);
  let plan = planMigration(names, await introspect(run, names), { online });
  if (plan && plan.locks.length > 0) {
    await apply(run, plan.locks);
    plan = planMigration(names, await introspect(run, names), { online });
  }
  if (!plan) return [];
  await check(run, plan);
  const done = await apply(run, plan.changes);
  if (plan.builds.length > 0) later();
  return [...done, ...(await mendIdOrder(run, names))];
}

/** @throws if there are rows that this store cannot work with. */
async function check(run: Run, { checks }: Plan): Promise<void> {
  for (const { sql } of checks) {
    const [row] = await run({ text: sql });
    if (typeof row?.refused === "string") throw new Error(row.refused);
  }
}
