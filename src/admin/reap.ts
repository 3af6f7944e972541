/**
 * reap(): deletes subscriptions of finished work, and correlators of registries that are gone.
 *
 * A subscription is finished if its source is one closed stream, it has handled everything, and nobody holds, blocks or
 * defers it. One of a stream that is still open stays, however old it is: the framework would subscribe it again with
 * the next event, and it would handle the whole stream once more.
 */
import type { Context } from "../context.ts";
import { BY_INDEX } from "../postgres/by-index.ts";
import type { Names } from "../schema/names.ts";
import { checkGiven, FLAG, millis, type Rules } from "../values/rules.ts";

/** What `reap()` may delete. */
export type ReapOptions = {
  /** Only what has been finished for so long. Default 7 days, in ms. */
  readonly olderThanMs?: number | undefined;
  /** Counts, and deletes nothing. */
  readonly dryRun?: boolean | undefined;
};

/** How many rows were deleted; with `dryRun`, how many would be. */
export type Reaped = { readonly subscriptions: number; readonly correlators: number };

const RULES: Rules<ReapOptions> = { olderThanMs: millis(0), dryRun: FLAG };
const WEEK = 7 * 24 * 3_600_000;
/** Rows that one statement deletes, and those that it looks at: short transactions beside running workers. */
const BATCH = 1_000;
const LOOK = 10_000;

const AGE = "$1::float8 * interval '1 millisecond'";

/**
 * Condition on `s`. The last event of the source is looked up for each subscription: a join with all tombstones would take
 * longer the more streams are closed. $1 age in ms
 */
const finished = ({ events }: Names): string => `not s.blocked and s.deferred_at is null
  and (s.leased_until is null or s.leased_until < now()) and s.at >= coalesce(s.correlated_at, s.at)
  and s.source is not null and s.source !~ '[\\^$.*+?()\\[\\]{}|\\\\]'
  and coalesce((select t.name = '__tombstone__' and t.created < now() - ${AGE} from ${events} t
    where t.stream = any(array[s.source]) order by t.stream desc, t.version desc limit 1), false)`;

/**
 * Condition on `s`. The correlator that is furthest stays. One that comes back after its deletion begins at the shared
 * checkpoint, and passes over what it had not read. So only one that has been idle for the whole age is deleted.
 * $1 age in ms
 */
const gone = ({ correlated }: Names): string => `s.key <> ''
  and s.leased_until < now() - ${AGE}
  and s.at < (select max(at) from ${correlated} where key <> '')`;

/** A table, the column of its key, and what may go. */
type Kind = { readonly table: string; readonly key: string; readonly condition: string };

/**
 * One page, in the order in which the other verbs lock rows. It skips rows that are locked. The next one begins after `last`,
 * unless it is null. $1 age in ms, $2 the last key of the page before, if given
 */
function pageText({ table, key, condition }: Kind, first: boolean, dryRun: boolean): string {
  const afterLast = first ? "true" : `s.${key} > $2::text`;
  return `with looked as materialized (
  select s.${key} as key from ${table} s where ${afterLast} order by s.${key} limit ${LOOK}
), chosen as materialized (
  select s.${key} as key from ${table} s where ${afterLast} and s.${key} <= (select max(key) from looked) and ${condition}
  order by s.${key}${dryRun ? "" : ` limit ${BATCH} for update skip locked`}
)${dryRun ? "" : `, deleted as (delete from ${table} s using chosen c where s.${key} = c.key returning 1)`}
select count(*) as found, case when ${dryRun ? "false" : `(select count(*) from chosen) = ${BATCH}`} then (select max(key) from chosen)
  when (select count(*) from looked) = ${LOOK} then (select max(key) from looked) end as last
from ${dryRun ? "chosen" : "deleted"}`;
}

async function removeAll(
  { connections }: Context,
  kind: Kind,
  { olderThanMs = WEEK, dryRun = false }: ReapOptions,
): Promise<number> {
  let removed = 0;
  for (let after: string | undefined; ; ) {
    const text = pageText(kind, after === undefined, dryRun);
    const params = after === undefined ? [olderThanMs] : [olderThanMs, after];
    const [, rows] = await connections.transaction("reap", [BY_INDEX, { text, params }]);
    removed += Number(rows?.[0]?.found);
    const last = rows?.[0]?.last;
    if (typeof last !== "string") return removed;
    after = last;
  }
}

/**
 * Older releases left no time when they released a lease, so nobody knows how long the correlator has been idle. Its time
 * begins now. The lease stays free: one that has ended can be taken, as one whose `leased_until` is null can.
 */
const beginTime = ({ correlated }: Names): string => `with untimed as materialized (
  select key from ${correlated} where key <> '' and leased_until is null order by key for update skip locked
) update ${correlated} c set leased_until = now() from untimed u where c.key = u.key`;

export async function reap(context: Context, options: ReapOptions = {}): Promise<Reaped> {
  checkGiven("reap", options, RULES);
  const { names } = context;
  const { streams, correlated } = names;
  if (!options.dryRun) await context.connections.write("reap", { text: beginTime(names) });
  return {
    subscriptions: await removeAll(
      context,
      { table: streams, key: "stream", condition: finished(names) },
      options,
    ),
    correlators: await removeAll(context, { table: correlated, key: "key", condition: gone(names) }, options),
  };
}
