/**
 * Tells the listeners of all processes that there may be subscriptions to claim, where no event says so. They look for
 * them, and wake their apps if there are (src/notifications/look-out.ts).
 *
 * The payload has the fields of a commit's, without events: act-pg and earlier releases ignore it.
 */
import type { Context } from "../context.ts";
import { codeOf } from "../errors.ts";
import type { Query, Row } from "../postgres/index.ts";
import { literal } from "../schema/names.ts";

/** A part of a WITH list, of one row if `condition` holds. It runs only if the statement reads it. */
export const announcedPart = ({ names, by }: Context, condition: string): string => {
  const payload = JSON.stringify({ stream: "", events: [], by, claimable: true });
  return `announced as materialized (
  select pg_notify(${literal(names.channel)}, ${literal(payload)}) where ${condition}
)`;
};

/** NOTIFY fails a statement while the server's queue of notifications is full. */
const QUEUE_FULL = "54000";

/**
 * Runs the statement, with the announcement if the store has notifications. An announcement that cannot be sent fails
 * nothing: listeners look every few seconds anyway.
 */
export async function writeAnnounced(
  { connections, notify }: Context,
  operation: string,
  queryOf: (announce: boolean) => Query,
): Promise<readonly Row[]> {
  if (!notify) return connections.write(operation, queryOf(false));
  try {
    return await connections.write(operation, queryOf(true));
  } catch (error) {
    if (!(error instanceof Error) || codeOf(error.cause) !== QUEUE_FULL) throw error;
    return connections.write(operation, queryOf(false));
  }
}
