/** A transaction block that is sent in several messages. It stays open while the client works between them. */
import type { Connection } from "./connection.ts";
import { forCitus, type Query } from "./exchange.ts";
import type { BlockOptions, BlockResult } from "./transaction.ts";

/** See {@link TransactionChannel.block}. `deadline` in ms, 0 for none. */
export const sendBlock = (
  connection: Connection,
  queries: readonly Query[],
  deadline: number,
  options: Omit<BlockOptions, "prepare" | "citus">,
): Promise<BlockResult> =>
  connection.onChannel(deadline, (channel) =>
    channel.block(connection.citus ? queries.map(forCitus) : queries, {
      ...options,
      prepare: connection.ownsSession,
      citus: connection.citus,
    }),
  );

/** Rolls a transaction back. If that fails, it closes the connection, and the server rolls back. */
export async function rollbackBlock(connection: Connection, deadline: number): Promise<void> {
  if (connection.closedWith) return;
  // At the deadline the connection is closed, and the server ends its transaction.
  await connection.onChannel(deadline, (channel) => channel.rollback()).catch(() => {});
}
