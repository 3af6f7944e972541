/** Tells which rows were written since a snapshot. */

/**
 * A condition on the row `row`: its transaction is not visible in `snapshot`, an expression. `next` is an expression of the
 * next transaction's id. xmin has only 32 bits, so it is taken for the newest transaction with these bits. If it belongs to
 * an older epoch, the row may count as written since then, although it is older.
 */
export const writtenSince = (row: string, snapshot: string, next: string): string =>
  `not pg_visible_in_snapshot(greatest(3, ${next} - ((${next} - ${row}.xmin::text::bigint) & 4294967295))::text::xid8, ${snapshot}::pg_snapshot)`;

/** The id of the next transaction. */
export const NEXT_TRANSACTION = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
