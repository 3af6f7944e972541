/** Reads a page by an index, whatever the planner thinks of it. */
import type { Database, Query, Row } from "../postgres/index.ts";

/**
 * Without statistics, or with old ones, the planner takes an ORDER BY with a LIMIT for a scan of the whole table and a sort.
 * For this transaction it may not.
 */
const BY_INDEX: Query = {
  text: "select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)",
};

/** Only for a query whose order an index has: another one would become slower. */
export async function readByIndex(
  connections: Pick<Database, "transaction">,
  query: Query,
): Promise<readonly Row[]> {
  const [, rows = []] = await connections.transaction("admin", [BY_INDEX, query]);
  return rows;
}
