/**
 * reap(): deletes subscriptions of finished work, and correlators of registries that are gone.
 *
 * A subscription is finished if its source is one closed stream, it has handled everything, and nobody holds, blocks or
 * defers it. One of a stream that is still open stays, however old it is: the framework would subscribe it again with
 * the next event, and it would handle the whole stream once more.
 */
import type { Context } from "../context.ts";
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
/** Rows of one statement: short transactions beside running workers. */
const BATCH = 1_000;

const AGE = "$1::float8 * interval '1 millisecond'";

/** Condition on `s`. $1 age in ms */
const finished = ({ events }: Names): string => `not s.blocked and s.deferred_at is null
  and (s.leased_until is null or s.leased_until < now()) and s.at >= coalesce(s.correlated_at, s.at)
  and s.source is not null and s.source !~ '[\\^$.*+?()\\[\\]{}|\\\\]'
  and exists (select 1 from ${events} t where t.stream = s.source and t.name = '__tombstone__' and t.created < now() - ${AGE}
    and not exists (select 1 from ${events} n where n.stream = t.stream and n.id > t.id))`;

/** Condition on `c`. The correlator that is furthest stays. $1 age in ms */
const gone = ({ correlated }: Names): string => `c.key <> ''
  and coalesce(c.leased_until, '-infinity') < now() - ${AGE}
  and c.at < (select max(at) from ${correlated} where key <> '')`;

async function count(context: Context, from: string, condition: string, age: number): Promise<number> {
  const [row] = await context.connections.read("reap", {
    text: `select count(*) as found from ${from} where ${condition}`,
    params: [age],
  });
  return Number(row?.found);
}

/** Deletes batch after batch, in the order in which the other verbs lock subscriptions, past rows that are locked. */
async function remove(context: Context, text: string, age: number): Promise<number> {
  let removed = 0;
  for (;;) {
    const [row] = await context.connections.write("reap", { text, params: [age] });
    const found = Number(row?.removed);
    removed += found;
    if (found < BATCH) return removed;
  }
}

export async function reap(context: Context, options: ReapOptions = {}): Promise<Reaped> {
  checkGiven("reap", options, RULES);
  const { olderThanMs = WEEK, dryRun = false } = options;
  const { names } = context;
  const { streams, correlated } = names;
  if (dryRun)
    return {
      subscriptions: await count(context, `${streams} s`, finished(names), olderThanMs),
      correlators: await count(context, `${correlated} c`, gone(names), olderThanMs),
    };
  return {
    subscriptions: await remove(
      context,
      `with chosen as materialized (
  select s.stream from ${streams} s where ${finished(names)} order by s.stream limit ${BATCH} for update skip locked
), deleted as (delete from ${streams} s using chosen c where s.stream = c.stream returning 1)
select count(*) as removed from deleted`,
      olderThanMs,
    ),
    correlators: await remove(
      context,
      `with chosen as materialized (
  select c.key from ${correlated} c where ${gone(names)} order by c.key limit ${BATCH} for update skip locked
), deleted as (delete from ${correlated} c using chosen h where c.key = h.key returning 1)
select count(*) as removed from deleted`,
      olderThanMs,
    ),
  };
}
