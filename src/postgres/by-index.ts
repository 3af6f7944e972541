/** Reads a page by an index, even if the planner estimates that another plan costs less. */
import type { Query, Row, Run, StoreConnections } from "./index.ts";

/**
 * Without statistics, or with old ones, the planner may read and sort the whole table for an ORDER BY with a LIMIT. This
 * prevents that for one transaction.
 */
export const BY_INDEX: Query = {
  text: "select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)",
};

/**
 * Makes an ORDER BY read an index that has its order, for the rest of the transaction. It prevents every sort that an index
 * can save, whatever the statistics say. A statement with `bindFirst` is planned before its
 * transaction runs the first one. Therefore this has `runFirst`.
 */
export const WITHOUT_SORT: Query = {
  text: "select set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)",
  runFirst: true,
};

/** {@link BY_INDEX} and {@link WITHOUT_SORT}. */
export const BY_INDEX_ALONE: Query = {
  text: `${BY_INDEX.text}, ${WITHOUT_SORT.text.slice("select ".length)}`,
};

/** Ends {@link WITHOUT_SORT}. */
export const SORT_AS_BEFORE: Query = {
  text: "select set_config(name, reset_val, true) from pg_settings where name in ('enable_sort', 'enable_incremental_sort')",
  runFirst: true,
};

const AS_BEFORE: Query = {
  text: "select set_config(name, reset_val, true) from pg_settings where name in ('enable_seqscan', 'enable_bitmapscan')",
};

/** Only for a query whose ORDER BY an index serves: another query would become slower. */
export function readByIndex(
  connections: Pick<StoreConnections, "readWith">,
  operation: string,
  query: Query,
): Promise<readonly Row[]> {
  return connections.readWith(operation, BY_INDEX, query);
}

/** Like {@link readByIndex}, in a transaction that continues: the settings are reset after the query. */
export const byIndex =
  (run: Run): Run =>
  async (query) => {
    await run(BY_INDEX);
    const rows = await run(query);
    await run(AS_BEFORE);
    return rows;
  };
