/**
 * The statement of the look-out, which finds work that no event has announced. It reads a few rows of the partial indexes
 * that claim uses, so it costs the same at 100 and at 1,000,000 subscriptions, and it locks nothing.
 */
import type { Query, Row } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import type { Names } from "../schema/names.ts";
import { CLAIM_ARMS, LANE_SCHEDULE } from "../schema/table-names.ts";
import type { EventRef } from "./payload.ts";

/** How many subscriptions of each lane are read: those that are furthest behind, and as many deferred ones, by time. */
const PER_LANE = 10;
/** How many names of events one poll searches for. The next poll goes on with further names. */
const MAX_NAMES = 1_000;

/** Work that waits: claimable subscriptions of one lane, or events that a correlator of this store has not read. */
export type Waiting = {
  /** Undefined: events that a correlator of this store has not read. */
  readonly lane: string | undefined;
  /** A fingerprint of the work. It changes as soon as a process claims a part of it, or a correlator's checkpoint moves. */
  readonly state: string;
  /** The next event of each name, by id. */
  readonly events: readonly (EventRef & { readonly stream: string })[];
};

export type Found = {
  readonly waiting: readonly Waiting[];
  /** ms until the next deferred subscription is due; undefined if none is deferred. */
  readonly dueIn: number | undefined;
  /** The log's last id; -1 for an empty log. */
  readonly newest: number;
  /** The lowest checkpoint of the given correlators. */
  readonly checkpoint: number;
  /** The name with which the next poll begins, if there are more names than one poll searches for. */
  readonly moreNames: string | undefined;
};

/**
 * `lanes` walks from lane to lane in the index, and `due_lanes` over the deferred subscriptions; `open` takes the first
 * subscriptions of each lane that can be claimed, and its first deferred ones that are due. `windows` has for each lane the
 * ids of the events that these subscriptions would get. Only an app knows which of them it reacts to, so one event of each
 * name is returned. `names` walks from name to name, and `page` has those of this poll.
 *
 * The condition `deferred_at <= now()` is outside the lateral subquery. Inside it, and without statistics, PostgreSQL would
 * expect so few rows that it would sort all deferred ones. A list of one lane, and a comparison of rows (name, id), keep
 * PostgreSQL from walking an index that has the order, but does not begin with the lane or the name. The lanes are not
 * compared as rows (lane, at): without statistics PostgreSQL would estimate so few rows that it would sort them all.
 *
 * An app reads the log from the checkpoint of its own correlator, so that checkpoint decides what is not correlated. The
 * shared one, in row '', would hide events from an app as soon as another app has read them. A correlator whose row was
 * deleted comes back at the shared checkpoint.
 *
 * $1 lanes to leave out; null: all
 * $2 the highest id of which no announcement is expected any more: the log's last id when the listener connected, or at the
 *    poll before
 * $3 the name to begin with
 * $4 keys of the app's correlators; '' if they are not known
 * $5 the id after which to search: the highest one that was reported, or the one after which the app begins to read. One
 *    above the end of the log is of an older log, before a restore
 */
const statement = ({ events, streams, correlated }: Names): string => {
  const pending = "not s.blocked and s.at < s.correlated_at";
  const waits = `${pending} and s.deferred_at is null and s.${CLAIM_ARMS.laneFair}`;
  const scheduled = `not s.blocked and ${LANE_SCHEDULE} and s.deferred_at is not null`;
  const free = "(s.leased_until is null or s.leased_until <= now())";
  const columns = "s.lane, s.stream, s.at, s.retry, s.correlated_at";
  return `with recursive lanes(lane) as (
    (select s.lane from ${streams} s where ${waits} order by s.lane, s.at limit 1)
  union all
    select following.lane from lanes l cross join lateral (
      select s.lane from ${streams} s where ${waits} and s.lane > l.lane order by s.lane, s.at limit 1) following
), due_lanes(lane) as (
    (select s.lane from ${streams} s where ${scheduled} order by s.lane, s.deferred_at limit 1)
  union all
    select following.lane from due_lanes l cross join lateral (
      select s.lane from ${streams} s where ${scheduled} and s.lane > l.lane order by s.lane, s.deferred_at limit 1) following
), open as materialized (
    select first.* from lanes l cross join lateral (
      select ${columns} from ${streams} s
      where ${waits} and ${free} and s.lane = any(array[l.lane])
      order by s.lane, s.at limit ${PER_LANE}) first
    where l.lane <> all($1::text[])
  union all
    select first.lane, first.stream, first.at, first.retry, first.correlated_at from due_lanes l cross join lateral (
      select ${columns}, s.deferred_at from ${streams} s
      where ${scheduled} and ${free} and s.lane = any(array[l.lane])
      order by s.lane, s.deferred_at limit ${PER_LANE}) first
    where l.lane <> all($1::text[]) and first.deferred_at <= now()
), head(id) as materialized (
    select coalesce((select id from ${events} order by id desc limit 1), -1)
), checkpoint(at) as materialized (
    select coalesce(min(coalesce((select c.at from ${correlated} c where c.key = k.key),
      (select c.at from ${correlated} c where c.key = ''))), -1) from unnest($4::text[]) k(key)
), windows(lane, state, low, high) as materialized (
    select lane, md5(string_agg(stream || ' ' || at || ' ' || retry, ',' order by stream)), min(at), max(correlated_at)
    from open group by lane
  union all
    select null, c.at::text, r.low, r.high from checkpoint c cross join head h
    cross join lateral (
      select greatest(c.at, case when $5::bigint <= h.id then $5::bigint end) as low, least($2::bigint, h.id) as high) r
    where r.low < r.high
), names(name) as (
    (select e.name from ${events} e where e.name >= $3::text and exists (select 1 from windows)
      order by e.name, e.id limit 1)
  union all
    select following.name from names n cross join lateral (
      select e.name from ${events} e where e.name > n.name order by e.name, e.id limit 1) following
), page as materialized (
  select name from names limit ${MAX_NAMES}
), schedule(due_in) as (
  select (extract(epoch from min(s.deferred_at) - now()) * 1000)::bigint from ${streams} s
  where ${pending} and s.deferred_at is not null and s.deferred_at > now()
)
select (select id from head) as newest, (select at from checkpoint) as checkpoint,
  (select max(name) from page having count(*) = ${MAX_NAMES}) as more_names, schedule.due_in, w.lane, w.state, next.id, next.name, next.stream
from schedule left join windows w on true left join lateral (
  select first.* from page n cross join lateral (
    select e.id, e.name, e.stream from ${events} e
    where (e.name, e.id) > (n.name, w.low) and (e.name, e.id) <= (n.name, w.high)
    order by e.name, e.id limit 1) first
) next on true
order by next.id`;
};

/** What a poll looks for: see the parameters of the statement. */
export type Wanted = {
  readonly lanesToSkip: readonly string[] | undefined;
  readonly upTo: number;
  readonly firstName?: string;
  readonly keys?: readonly string[];
  readonly from?: number;
};

export const claimableQuery = (
  names: Names,
  { lanesToSkip, upTo, firstName = "", keys = [""], from = -1 }: Wanted,
): Query => ({
  text: statement(names),
  params: [lanesToSkip ? textArray(lanesToSkip) : null, upTo, firstName, textArray(keys), from],
});

export function toFound(rows: readonly Row[]): Found {
  const dueIn = rows[0]?.due_in;
  const more = rows[0]?.more_names;
  const open = rows.filter(({ state }) => typeof state === "string");
  const waiting = [...Map.groupBy(open, ({ lane }) => lane ?? undefined)].map(([lane, group]) => ({
    lane: lane === undefined ? undefined : String(lane),
    state: String(group[0]?.state),
    events: group
      .filter(({ id }) => id !== null)
      .map((row) => ({ id: Number(row.id), name: String(row.name), stream: String(row.stream) })),
  }));
  return {
    waiting,
    dueIn: dueIn === null || dueIn === undefined ? undefined : Number(dueIn),
    newest: Number(rows[0]?.newest ?? -1),
    checkpoint: Number(rows[0]?.checkpoint ?? -1),
    moreNames: typeof more === "string" ? more : undefined,
  };
}
