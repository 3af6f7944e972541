/** The transaction in which tables are made, changed and dropped. */

import { codeOf } from "../errors.ts";
import type { Database, Query, Row } from "../postgres/index.ts";

export type Run = (query: Query) => Promise<readonly Row[]>;

/** Held by one boot at a time, for all stores of a database: they may share a schema that is not there yet. */
const LOCK = "select pg_advisory_xact_lock(hashtext('act-drizzle:seed'))";
const ATTEMPTS = 5;

/** All or nothing; again from the start when a worker held the tables in another order (deadlock_detected). */
export async function withMigrationLock<T>(
  connections: Database,
  operation: string,
  work: (run: Run) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await connections.session(operation, async (run) => {
        await run({ text: LOCK });
        return work(run);
      });
    } catch (error) {
      if (attempt === ATTEMPTS || !(error instanceof Error) || codeOf(error.cause) !== "40P01") throw error;
    }
  }
}
