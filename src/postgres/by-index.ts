/** Reads a page by an index, whatever the planner thinks of it. */
import type { Database, Query, Row, Run } from "./index.ts";

/**
 * Without statistics, or with old ones, the planner takes an ORDER BY with a LIMIT for a scan of the whole table and a sort.
 * For this transaction it may not.
 */
export const BY_INDEX: Query = {
  text: "select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)",
};

const AS_BEFORE: Query = {
  text: "select set_config(name, reset_val, true) from pg_settings where name in ('enable_seqscan', 'enable_bitmapscan')",
};

/** Only for a query whose order an index has: another one would become slower. */
export function readByIndex(
  connections: Pick<Database, "readWith">,
  operation: string,
  query: Query,
): Promise<readonly Row[]> {
  return connections.readWith(operation, BY_INDEX, query);
}

/** The same in a transaction that goes on. */
export const byIndex =
  (run: Run): Run =>
  async (query) => {
    await run(BY_INDEX);
    const rows = await run(query);
    await run(AS_BEFORE);
    return rows;
  };
