/**
 * Tells the listeners of all processes that some subscriptions may be claimable although no event was committed. The
 * listeners then poll, and make their apps claim if they find work (src/notifications/look-out.ts).
 *
 * The payload has the fields of a commit's, without events: act-pg and earlier releases ignore it.
 */
import type { Context } from "../context.ts";
import { codeOf } from "../errors.ts";
import type { Param, Query, Row } from "../postgres/index.ts";
import { onCoordinator } from "../schema/citus.ts";
import { literal } from "../schema/names.ts";

/**
 * A CTE that sends a notification if `condition` holds. PostgreSQL runs it only if the statement reads from `announced`.
 * `citus`: the form for Citus, where listeners are on the coordinator.
 */
export const announcedPart = ({ names, by }: Context, condition: string, citus = false): string => {
  const payload = JSON.stringify({ stream: "", events: [], by, claimable: true });
  return `announced as materialized (
  select pg_notify(${literal(names.channel)}, ${literal(payload)})${citus ? ` is null as sent from (select 1) once ${onCoordinator}` : ""} where ${condition}
)`;
};

/** A statement whose text `textOf` writes, with or without the announcement, for Citus or for PostgreSQL alone. */
export const announcing = (
  textOf: (announce: boolean, citus: boolean) => string,
  announce: boolean,
  params: readonly Param[],
): Query => ({
  text: textOf(announce, false),
  citus: () => textOf(announce, true),
  params,
});

/** SQLSTATE of a NOTIFY while the server's queue of notifications is full. */
const QUEUE_FULL = "54000";

/**
 * Runs the statement, with the announcement if the store has notifications. If the announcement cannot be sent, the
 * statement runs without it: listeners poll every few seconds anyway.
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
