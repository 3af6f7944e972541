/**
 * Parts of statements that make Citus run a statement on a certain node. On PostgreSQL alone they have no effect, and cost
 * a look-up.
 */
import type { Names } from "./names.ts";

/** A join that makes a query run on the coordinator, because the joined table is not distributed. */
export const onCoordinator =
  "cross join (select 1 from pg_catalog.pg_namespace where nspname = 'pg_catalog') coordinator";

/** A relation of one row. A query that selects from it runs on the log's node. */
export const besideLog = ({ events }: Names): string => `(select count(*) from ${events} where id = -1) log`;
