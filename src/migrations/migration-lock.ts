/** The transaction in which tables are created, changed and dropped. */
import { codeOf } from "../errors.ts";
import type { Run, StoreConnections } from "../postgres/index.ts";
import { RETRIABLE } from "../postgres/retry.ts";
import { literal, type Names } from "../schema/names.ts";
import { DROPPED_MEANWHILE } from "./introspect.ts";

/**
 * One process at a time changes a schema, even if the processes have different stores in it. The lock is an advisory
 * lock on the schema's name, because the schema may not exist yet. Releases up to 0.1 take one exclusive lock for all
 * schemas. This takes that lock too, in shared mode, to exclude them.
 */
const lockOf = ({ schema }: Names) => `select pg_advisory_xact_lock_shared(hashtext('act-drizzle:seed')),
  pg_advisory_xact_lock(hashtext(${literal(`act-drizzle:seed:${schema}`)}))`;
const ATTEMPTS = 5;
const AGAIN: ReadonlySet<string | undefined> = new Set([...RETRIABLE, ...DROPPED_MEANWHILE]);

/**
 * Runs `work` in one transaction, under the migration lock. The transaction is repeated if it lost a deadlock with a worker
 * that had locked the tables in another order, or if another process, which builds indexes, dropped one while the catalog
 * was read.
 */
export async function withMigrationLock<T>(
  { names, connections }: { readonly names: Names; readonly connections: StoreConnections },
  operation: string,
  work: (run: Run) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await connections.session(operation, async (run) => {
        await run({ text: lockOf(names) });
        return work(run);
      });
    } catch (error) {
      if (attempt === ATTEMPTS || !(error instanceof Error) || !AGAIN.has(codeOf(error.cause))) throw error;
    }
  }
}
