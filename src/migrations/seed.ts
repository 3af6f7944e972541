/**
 * seed(): brings the store's tables to the shape of this release, whatever created them: introspect, plan, apply.
 *
 * Drizzle's own migrate() does not fit a library. It takes no lock (25 of 30 concurrent boots failed), and it skips a
 * library's migration that is older than the app's newest. So seed() applies the shipped migrations itself, under a
 * lock, object by object, and records them in the comment of the events table.
 */
import { log } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { sanitize, toStoreError } from "../errors.ts";
import type { Run } from "../postgres/index.ts";
import { warnOfFutureEvents } from "../schema/future-events.ts";
import { warnOfIdCapacity } from "../schema/id-capacity.ts";
import type { Names } from "../schema/names.ts";
import { apply } from "./change.ts";
import { introspect, introspectQuery, toCatalog } from "./introspect.ts";
import { withMigrationLock } from "./migration-lock.ts";
import { isCurrent, planMigration } from "./plan.ts";
import { idFactsQuery, isInOrder, mendIdOrder, toIdFacts } from "./sequence.ts";

/**
 * Creates or completes schema, tables and indexes. Idempotent, and safe with any number of processes at once. On an
 * up-to-date schema it only reads the catalog and the log's last event, and takes no lock that a worker would wait for.
 *
 * @throws StoreError; the database is then as it was before.
 */
export async function seed({ names, connections }: Context): Promise<void> {
  try {
    const read: Run = (query) => connections.read("seed", query);
    const [row] = await read(introspectQuery(names, { expressions: false }));
    warnOfIdCapacity(names, row);
    const current = isCurrent(names, toCatalog(row));
    if (current) {
      const [facts] = await read(idFactsQuery(names));
      warnOfFutureEvents(names, facts);
      if (isInOrder(toIdFacts(facts))) return;
    }
    const work = current ? mendIdOrder : migrate;
    const done = await withMigrationLock(connections, "seed", (run) => work(run, names));
    if (done.length > 0)
      log().info(`[act-drizzle] seed "${names.schema}"."${names.table}": ${done.join(", ")}`);
  } catch (error) {
    const wrapped = toStoreError("seed", error);
    const cause = wrapped.cause instanceof Error ? wrapped.cause : sanitize(error);
    log().error(`[act-drizzle] seed "${names.schema}"."${names.table}" failed: ${cause.message}`);
    throw wrapped;
  }
}

/** Returns what was done, in words. */
async function migrate(run: Run, names: Names): Promise<string[]> {
  let plan = planMigration(names, await introspect(run, names));
  if (plan && plan.locks.length > 0) {
    await apply(run, plan.locks);
    plan = planMigration(names, await introspect(run, names));
  }
  if (!plan) return [];
  const done = await apply(run, plan.changes);
  return [...done, ...(await mendIdOrder(run, names))];
}
