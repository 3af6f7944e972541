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

/** The lock of one message: whoever looks for it afterwards waits for it, or keeps it from beginning. */
const takeMessageLock = (param: string): string =>
  `pg_advisory_xact_lock(hashtextextended(${param}::text, 0)) is not null`;
const CLOCK = "extract(epoch from clock_timestamp()) * 1000";

/**
 * The same where nobody can tell which server process works on a message, as behind a pooler: a message that begins
 * later than `until`, in ms of the server's clock, is not carried out. Before it reads the clock it takes a lock of its
 * own, by `token`, which it keeps until its end; see {@link holdMessage}.
 */
export const lockAppendsUntil = (names: Names, limit: number, token: string, until: () => number): Query => ({
  text: `select pg_advisory_xact_lock(case when ${takeMessageLock("$2")} then case when ${CLOCK} < $1::float8
    then ${key(names)} else ${raise("too_late")} end else ${raise("too_late")} end)${endAfter(limit)}`,
  params: () => [until(), token],
  raises: "too_late",
});

/**
 * Waits until a message with this token that has begun has ended, and keeps it from beginning while this transaction
 * lasts; then reads the clock. A message that begins afterwards reads a later one.
 */
export const holdMessage = (token: string): Query => ({
  text: `select case when ${takeMessageLock("$1")} then ${CLOCK} end as clock`,
  params: [token],
});
