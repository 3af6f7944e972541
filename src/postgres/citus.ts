/**
 * Citus is an extension of PostgreSQL that puts tables on other servers, the workers. Each tenant's schema is whole on one
 * worker. The store talks to the coordinator, which has the append locks, sequences and notifications of all tenants. ADR
 * 0023 lists the statements that differ there.
 */
import { ConnectionError } from "../errors.ts";
import type { Connection } from "./connection.ts";

/**
 * With a generic plan, which has no parameter values, Citus cannot locate the table (0A000). So this undoes
 * `plan_cache_mode = force_generic_plan`, which connections for appends have.
 */
const SET_UP = `select groupid as group, case when current_setting('plan_cache_mode') = 'force_generic_plan'
  then set_config('plan_cache_mode', 'auto', false) end as mode from pg_dist_local_group`;

/** @throws ConnectionError on a worker: it would draw ids from a range of its own, under an append lock of its own. */
export async function setUpCitus(connection: Connection, deadline: number): Promise<void> {
  const [row] = await connection.run({ text: SET_UP }, deadline);
  if (row?.group === 0) return;
  const { host, port } = connection.endpoint;
  throw new ConnectionError("CITUS_WORKER", `${host}:${port} is a worker of a Citus cluster`, false);
}
