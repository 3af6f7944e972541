/**
 * What a connection asks first: which server process answers, when, and what kind of server it is.
 *
 * It is the first statement of a new server process, which looks up every type, function and operator in the catalog. So
 * it calls few functions and compares nothing: with the comparisons in SQL it took the server 1.9 ms instead of 1.2
 * (PostgreSQL 18, `node bench/claim-planning.ts`).
 */
import type { Row } from "./exchange.ts";

/** If the server has not loaded the Citus library, its settings are absent, and no look-up of the function is needed. */
export const IDENTITY = `pg_backend_pid() as pid,
  (select a.backend_start::text from pg_stat_get_activity(pg_backend_pid()) a) as started,
  clock_timestamp()::text as clock, pg_is_in_recovery() as standby,
  current_setting('transaction_read_only') as read_only,
  case when current_setting('citus.shard_count', true) is not null
    then to_regprocedure('pg_catalog.citus_version()') is not null end as citus`;

export type Identity = {
  readonly pid: number;
  /** pg_stat_activity.backend_start, as text. */
  readonly started: string;
  /** The server's clock, in whole ms since the epoch, rounded down. */
  readonly clock: number;
  readonly standby: boolean;
  /** Transactions are read-only unless they say otherwise. */
  readonly read_only: boolean;
  /** The database has the extension Citus. */
  readonly citus: boolean;
};

/** The sessions have DateStyle ISO and TimeZone UTC, so the time reads `2026-05-01 10:15:30.123456+00`. */
const toMillis = (clock: unknown): number =>
  Date.parse(String(clock).replace(" ", "T").replace(/\+00$/, "Z"));

export const toIdentity = (row: Row): Identity => ({
  pid: Number(row.pid),
  started: String(row.started),
  clock: toMillis(row.clock),
  standby: row.standby === true,
  read_only: row.read_only === "on",
  citus: row.citus === true,
});
