/**
 * Empties a projection's tables, sets its positions back, and holds its handlers: they write nothing until
 * deliverAgain() or raiseFloor(). All in the caller's transaction, which has locked the positions.
 */
import { sql } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { holdHandlers } from "./floor.ts";
import type { Transactions } from "./transactions.ts";

export async function clearAndHold<Tx>(
  transactions: Transactions<Tx>,
  tx: Tx,
  tables: readonly PgTable[],
): Promise<void> {
  const { positions, projection } = transactions;
  const list = sql.join(
    tables.map((table) => sql`${table}`),
    sql`, `,
  );
  await transactions.execute(tx, sql`truncate ${list}`);
  await transactions.query(tx, holdHandlers(positions, projection));
}
