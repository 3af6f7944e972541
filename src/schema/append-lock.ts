/**
 * The append lock. Every transaction that adds or deletes events holds it until it ends, so that the order of ids is
 * the order in which readers see events. Only a move fills its target without it, while nobody else can write there.
 * The lock's key is the one that act-pg uses, so that both can append to one table.
 *
 * On Citus a log may be on another node. There the transaction is first prepared, and commits later than on the coordinator.
 * So there are two locks: this one on the coordinator, and one on the log's node. The transaction holds the second one until
 * it has ended there, even while it is prepared and its coordinator has crashed. Until then no event gets a higher id, and
 * recovery does not conclude that the commit is absent.
 */

import { raise } from "../errors.ts";
import type { Query } from "../postgres/index.ts";
import { besideLog, onCoordinator } from "./citus.ts";
import { literal, type Names } from "./names.ts";

const key = ({ lockKey }: Names): string => `hashtext(${literal(lockKey)})`;

/** A statement that takes the append lock with the key `of`. `others`: more columns of its select list. */
const locking = (
  names: Names,
  of: string,
  others = "",
): Pick<Query, "text" | "citus" | "ignoresSettings"> => ({
  text: `select pg_advisory_xact_lock(${of})${others}`,
  ignoresSettings: true,
  citus: () => `with there as materialized (
  select pg_advisory_xact_lock(hashtextextended(${literal(names.lockKey)}, 1)) is null as locked from ${besideLog(names)}
)
select (pg_advisory_xact_lock(${of}) is null) as locked${others} from there ${onCoordinator}`,
});

/** Takes the append lock for the rest of the transaction. */
export const lockQuery = (names: Names): Query => locking(names, key(names));

/**
 * From PostgreSQL 17 on, the server ends the transaction `limit` ms after the lock was granted. This releases the lock
 * even if the client vanished in the middle of a message, and a proxy still answers TCP keepalives for it. 0: no limit.
 */
const endAfter = (limit: number): string =>
  limit > 0
    ? `, case when current_setting('server_version_num')::int >= 170000
    then set_config('transaction_timeout', '${limit}', true) end as limited`
    : "";

/** The server ends the transaction when no statement has come for `limit` ms. */
const endWhenIdle = (limit: number | undefined): string =>
  limit === undefined
    ? ""
    : `, set_config('idle_in_transaction_session_timeout', '${limit}', true) as limited_idle`;

/** Takes the append lock. `idle`: for a transaction of several messages. */
export const lockAppends = (names: Names, limit: number, idle?: number): Query =>
  locking(names, key(names), `${endAfter(limit)}${endWhenIdle(idle)}`);

/** Takes the lock of one batch. A recovery takes the same lock: it waits for the batch, or keeps it from beginning. */
const takeMessageLock = (param: string): string =>
  `pg_advisory_xact_lock(hashtextextended(${param}::text, 0)) is not null`;
const CLOCK = "extract(epoch from clock_timestamp()) * 1000";

/**
 * Takes the append lock behind a pooler, where it is not known which server process runs a batch. First it takes a lock
 * by `token` and keeps it until the transaction ends; see {@link holdMessage}. Then it reads the server's clock, and
 * fails with TOO_LATE if the clock is past `until`.
 *
 * $1 `until`, in ms since the epoch, $2 `token`
 */
export const lockAppendsUntil = (
  names: Names,
  limit: number,
  token: string,
  until: () => number,
  idle?: number,
): Query => ({
  ...locking(
    names,
    `case when ${takeMessageLock("$2")} then case when ${CLOCK} < $1::float8
    then ${key(names)} else ${raise("too_late")} end else ${raise("too_late")} end`,
    `${endAfter(limit)}${endWhenIdle(idle)}`,
  ),
  params: () => [until(), token],
  raises: ["too_late"],
});

/**
 * Takes the lock of a batch by its token, and then reads the clock. If the batch has begun, this waits until it has ended.
 * If not, the batch cannot begin before this transaction ends, and then reads a later clock. $1 token
 */
export const holdMessage = (token: string): Query => ({
  text: `select case when ${takeMessageLock("$1")} then ${CLOCK} end as clock`,
  params: [token],
});
