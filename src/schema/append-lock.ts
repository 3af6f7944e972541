/**
 * The append lock: whoever writes to the log holds it until its transaction has ended, so that the order of ids is
 * the order in which readers see events. Its key is act-pg's, so both can append to one table.
 */

import { raise } from "../errors.ts";
import type { Query } from "../postgres/index.ts";
import { literal, type Names } from "./names.ts";

const key = ({ lockKey }: Names): string => `hashtext(${literal(lockKey)})`;

/** Takes the append lock for the rest of the transaction. */
export const lockQuery = (names: Names): string => `select pg_advisory_xact_lock(${key(names)})`;

/**
 * From PostgreSQL 17 on the transaction ends `limit` ms after the lock was granted, whatever happens: also when the rest of
 * its message never comes, because the client vanished and a proxy answers TCP's keepalives in its stead. 0: no limit.
 */
const endAfter = (limit: number): string =>
  limit > 0
    ? `, case when current_setting('server_version_num')::int >= 170000
    then set_config('transaction_timeout', '${limit}', true) end as limited`
    : "";

/** Takes the append lock for a transaction that is one message. */
export const lockAppends = (names: Names, limit: number): Query => ({
  text: `${lockQuery(names)}${endAfter(limit)}`,
});

/**
 * The same behind a pooler, where nobody can tell which server process works on a message that went with its
 * connection. So a message is not carried out when it arrives later than `until`, in ms of the server's clock.
 */
export const lockAppendsUntil = (names: Names, limit: number, until: () => number): Query => ({
  text: `select pg_advisory_xact_lock(case when extract(epoch from clock_timestamp()) * 1000 < $1::float8
    then ${key(names)} else ${raise("too_late")} end)${endAfter(limit)}`,
  params: () => [until()],
});
