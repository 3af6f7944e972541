/** The statements that compare a replica with what a process has seen of a log. */
import type { ReplicaTexts } from "../postgres/index.ts";
import type { Names } from "./names.ts";

/**
 * On a replica: its last event; whether it is a standby; whether it has replayed the WAL up to $1, true if $1 is null; and
 * its lag in ms, as far as the replica can tell. The lag is 0 if the replica has replayed all that it has received and is
 * still receiving. Otherwise it is the age of the last replayed transaction, or null without one since the replica started.
 */
const check = ({ events }: Names): string => `select
  coalesce((select max(id) from ${events}), -1) as head, pg_is_in_recovery() as standby,
  $1::pg_lsn is null or coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false) as replayed,
  (case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
      and exists (select from pg_stat_wal_receiver where pid is not null) then 0
    else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 end)::numeric as lag`;

/**
 * On the primary: its last event and its WAL position. The position is read after the statement took its snapshot, so a
 * replica that has replayed the WAL up to it shows everything that this statement could see.
 */
export const positionText = ({ events }: Names): string => `select
  coalesce((select max(id) from ${events}), -1) as head,
  (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end)::text as lsn`;

export const replicaTexts = (names: Names): ReplicaTexts => ({
  check: check(names),
  position: positionText(names),
});
