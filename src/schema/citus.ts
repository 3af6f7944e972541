/** Parts of statements that say on which node of a Citus cluster they run. Elsewhere they say nothing, and cost a look-up. */
import type { Names } from "./names.ts";

/** A join: what is joined with a table that is not distributed runs on the coordinator. */
export const onCoordinator =
  "cross join (select 1 from pg_catalog.pg_namespace where nspname = 'pg_catalog') coordinator";

/** A relation of one row: what selects from it runs where the log is. */
export const besideLog = ({ events }: Names): string => `(select count(*) from ${events} where id = -1) log`;
