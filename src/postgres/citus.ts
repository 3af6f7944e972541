/**
 * Citus: a PostgreSQL whose tables may live on other servers, the workers. A tenant's schema lives whole on one of them, and
 * the store talks to the coordinator, which has the append locks, the sequences and the notifications of all. ADR 0023 says
 * what its statements do otherwise there.
 */
import { ConnectionError } from "../errors.ts";
import type { Connection } from "./connection.ts";

/**
 * A generic plan lacks the values of the parameters, without which Citus does not find the table (0A000): the setting of
 * connections for appends is taken back.
 */
const SET_UP = `select groupid as group, case when current_setting('plan_cache_mode') = 'force_generic_plan'
  then set_config('plan_cache_mode', 'auto', false) end as mode from pg_dist_local_group`;

/** @throws ConnectionError on a worker: it would number events from a range of its own, under an append lock of its own. */
export async function setUpCitus(connection: Connection, deadline: number): Promise<void> {
  const [row] = await connection.run({ text: SET_UP }, deadline);
  if (row?.group === 0) return;
  const { host, port } = connection.endpoint;
  throw new ConnectionError("CITUS_WORKER", `${host}:${port} is a worker of a Citus cluster`, false);
}
