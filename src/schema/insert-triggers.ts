/** Triggers that may change the rows which are inserted into the log. */
/**
 * The rest of a SELECT from pg_trigger `t`: triggers BEFORE INSERT FOR EACH ROW, of the log and of its partitions. `events`: an
 * SQL expression of the log's name.
 */
export const insertTriggers = (events: string): string =>
  `from pg_trigger t where t.tgtype & 7 = 7 and not t.tgisinternal and t.tgenabled <> 'D'
    and t.tgrelid = any(array(select to_regclass(${events})::oid
      union all select relid::oid from pg_partition_tree(to_regclass(${events}))))`;
