/**
 * The append: one transaction for a batch of commits, in one message.
 *
 *   take the append lock · INSERT … SELECT
 *
 * The lock makes the order of ids the order of visibility. The INSERT reads the heads. It is a statement of its own, so
 * that its snapshot is taken after the lock was granted. Otherwise the heads could be stale: a commit that expects the head
 * from before a concurrent truncate would be accepted, and stored after the snapshot event of the truncate. The INSERT's
 * parameters are sent before the lock is asked for.
 */

import { raise } from "../errors.ts";
import type { InlineEvent, Scope } from "../options/inline.ts";
import type { Param, Query, Row } from "../postgres/index.ts";
import {
  joinJson,
  numberArray,
  parseBooleans,
  parseNumbers,
  splitJson,
  textArray,
} from "../postgres/parameters.ts";
import { onCoordinator } from "../schema/citus.ts";
import { idSequenceOf } from "../schema/id-sequence.ts";
import { insertTriggers } from "../schema/insert-triggers.ts";
import { literal, type Names } from "../schema/names.ts";
import type { EncodedEvent } from "./encode-messages.ts";
import { LOWEST_AND_HIGHEST, lastValue, unlessDrawn } from "./ids-drawn.ts";
import type { LatestIds } from "./latest-ids.ts";

/** The part of a commit that inline projections need. */
export type InlineWork = {
  /** The events as they will stand in the log. */
  committed(outcome: Outcome, created: Date): readonly InlineEvent[];
  /**
   * Enters a handler. Its calls of the store count as calls by the commit: they are allowed while dispose() waits for the
   * commit, and refused if they would wait for the commit.
   */
  enter(): Scope;
};

/** One `commit()` call, ready to be sent. */
export type Append = {
  readonly stream: string;
  /** Head that the caller expects; null: the head is not checked. */
  readonly expected: number | null;
  readonly meta: string;
  readonly events: readonly EncodedEvent[];
  /** The commit token, a UUID. The first event stores it, and a recovery looks for it if the answer was lost. */
  readonly token: string;
  /** Set if an inline projection handles one of the events. */
  readonly inline?: InlineWork | undefined;
};

/** For each commit of a batch: whether it was accepted, the head that it was compared with, and the ids of its events. */
export type Outcome = {
  readonly accepted: boolean;
  readonly head: number;
  readonly ids: readonly number[];
  /** `created` of its events, if it differs from the batch's. */
  readonly created?: Date;
  /** `created` of each event, in ms, if a trigger has changed it. */
  readonly dates?: readonly number[];
};
export type Appended = { readonly created: Date; readonly outcomes: readonly Outcome[] };

/** Variants of the INSERT. */
export type AppendMode = {
  /** Tell the listeners of other processes. */
  readonly announce: boolean;
  /** Find a stream's head by its newest id, or by its highest version. */
  readonly headBy: "id" | "version";
  /** Oid of the sequence that ids are drawn from; null: not known. */
  readonly sequence: number | null;
  /** The log has triggers that may be deferred to COMMIT. */
  readonly deferred: boolean;
  /** The log has triggers that may set ids: the INSERT compares the ids with the sequence. */
  readonly triggers?: boolean;
  /** The server has Citus: the log may be on another node. */
  readonly citus?: boolean;
  /** statement_timeout, in ms, of the statements that follow in the transaction: those of inline projections. */
  readonly limit?: number | undefined;
};

/** An expected version that no head ever has. */
export const UNSATISFIABLE_VERSION = -2;
/** `pg_notify` fails for a payload of this many bytes or more. */
const NOTIFY_LIMIT = 8_000;

/**
 * The id at which a search by id begins: the last one that the log's sequence gave out. Rows with explicit ids may have
 * higher ones. A restore numbers events from 1 again,
 * and dead index entries of the old, higher ids stay until VACUUM removes them. A search that begins at the bound skips
 * them (300,000 dead entries: 0.5 ms under the lock instead of 24).
 */
export const idBound = (sequence: string): string =>
  `(select coalesce(pg_sequence_last_value(${sequence}::oid), 9223372036854775807))`;

/**
 * `created` of the events that are appended now, to the millisecond. If the clock steps back (NTP, a fail-over), they get
 * the time of the newest event, so that `created` never decreases along ids.
 */
export const nowQuery = (names: Names, sequence: string): string => `select greatest(
    date_trunc('milliseconds', clock_timestamp()),
    (select date_trunc('milliseconds', created + interval '999 microseconds') from ${names.events}
      where id <= ${idBound(sequence)} order by id desc limit 1)
  ) as created`;

/**
 * Facts about the database that appends depend on, as a select list: the sequence of the ids and its last value, whether
 * the index that finds heads by id exists, the first column of each unique index (of partitions too), and whether there
 * are deferrable triggers, and triggers that may change new events.
 */
export const appendFacts = (names: Names): string => factsOf(literal(names.events), literal(idIndex(names)));

/** The same facts as a statement, whose text is equal for all stores: a connection that stores share plans it once. */
export const appendFactsQuery = (names: Names): Query => ({
  text: `select ${factsOf("$1::text", "$2::text")}`,
  params: [names.events, idIndex(names)],
});

const idIndex = ({ schema, table }: Names): string => `"${schema}"."${table}_stream_id_ix"`;

/** `events` and `index`: SQL expressions of the names of the log and of its index by id. */
const factsOf = (events: string, index: string): string => `(select case
    when has_sequence_privilege(s.oid, 'usage, select') then s.oid::bigint end from (select ${idSequenceOf(events)} as oid) s
  ) as id_sequence,
  (select case when has_sequence_privilege(s.oid, 'usage, select') then pg_sequence_last_value(s.oid) end
    from (select ${idSequenceOf(events)} as oid) s) as last_id,
  exists (select 1 from pg_index i join pg_opclass c on c.oid = i.indclass[0]
    where i.indexrelid = to_regclass(${index})
      and i.indpred is null and i.indisvalid and c.opcname = 'text_pattern_ops') as ids_indexed,
  (select jsonb_object_agg(c.relname, a.attname) from pg_index i join pg_class c on c.oid = i.indexrelid
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indisunique and i.indrelid = any(array(select to_regclass(${events})::oid
      union all select relid::oid from pg_partition_tree(to_regclass(${events}))))) as unique_keys,
  exists (select 1 from pg_trigger t where t.tgrelid = to_regclass(${events}) and t.tgdeferrable) as deferred,
  exists (select 1 ${insertTriggers(events)}) as insert_triggers`;

/** Runs deferred triggers before COMMIT, where statement_timeout limits them. Within COMMIT it would not. */
export const RUN_DEFERRED: Query = { text: "set constraints all immediate" };

/** The lower bound of the search for a head if no event of the stream is known. */
export const LOWEST_ID = Number.MIN_SAFE_INTEGER;

const headByVersion = ({ events }: Names): string =>
  `select e.version from ${events} e where e.stream = c.stream order by e.version desc limit 1`;

/**
 * The head of stream `c.stream`; -1 for a new one.
 *
 * A search by id is faster after a truncate: the dead index entries have higher versions than the new snapshot event, but
 * lower ids. So a search from the highest id down does not reach them. `= any` and the order by stream keep the planner
 * from walking the primary key backward until it finds an event of a quiet stream (12 ms in 300,000 events).
 *
 * The search reads all of the stream's entries on an index page before it returns the newest. `c.low`, the id of an event
 * that this process appended, keeps them few (64 commits to streams of 200 events: 36 % fewer instructions).
 *
 * A search by id does not see ids above the bound, such as those of an import, nor ids below `c.low`: after a restore all
 * events may have such ids. So it never refuses a commit: if it finds a head that does not match, the search by version
 * decides. A commit that it accepts by mistake fails at the unique index, and is sent again with a search by version.
 */
export const headOf = (names: Names, headBy: AppendMode["headBy"], sequence: string): string => {
  const byVersion = `(${headByVersion(names)})`;
  const byId = `(select case when c.expected is null or e.version = c.expected then e.version end
      from ${names.events} e where e.stream = any(array[c.stream]) and e.id <= ${idBound(sequence)}
        and e.id >= c.low order by e.stream using ~>~, e.id desc limit 1)`;
  return `coalesce(${headBy === "version" ? byVersion : `${byId}, ${byVersion}`}, -1)`;
};

/**
 * An expression for `created` of new events in ms, with the value that queries return. It is shorter than theirs, because with
 * `prepare: false` the server plans it for each commit (0.1 of 0.9 ms). A bigint: behind a pooler a role's extra_float_digits
 * could cut digits off a float8.
 */
export const createdOf = (column: string): string => `trunc(extract(epoch from ${column}) * 1000)::bigint`;

/** Ids, each followed by its `created` in ms, for {@link parseDated}: of the inserted events, or of those with `filter`. */
export const datedOf = (filter = ""): string =>
  `'{' || string_agg(concat(id, ',', ${createdOf("created")}), ',')${filter} || '}'`;

function parseDated(dated: string): ReadonlyMap<number, number> {
  const byId = new Map<number, number>();
  const numbers = parseNumbers(dated);
  for (let i = 1; i < numbers.length; i += 2) byId.set(Number(numbers[i - 1]), Number(numbers[i]));
  return byId;
}

/** Announces each accepted commit: with all its events if they fit, else with the range of its ids, else not at all. */
export const announceText = (names: Names, by: string, citus = false): string => `, announced as (
  select pg_notify(${literal(names.channel)}, case when octet_length(whole) < ${NOTIFY_LIMIT} then whole else brief end)${citus ? " is null as sent" : ""}
  from (
    select json_build_object('stream', a.stream, 'by', ${literal(by)}::text,
             'events', json_agg(json_build_object('id', i.id, 'name', i.name) order by i.id))::text as whole,
           json_build_object('stream', a.stream, 'by', ${literal(by)}::text, 'events', '[]'::json,
             'from', min(i.id), 'to', max(i.id))::text as brief
    from accepted a join inserted i on i.stream = a.stream and i.version > a.head and i.version <= a.head + a.size
    group by a.ord, a.stream
    order by min(i.id)
  ) payloads${citus ? ` ${onCoordinator}` : ""}
  where octet_length(brief) < ${NOTIFY_LIMIT}
)`;

/** Expected versions as one parameter, for {@link splitExpected}. Not as an array: `array_nulls = off` spoils its NULLs. */
const joinExpected = (versions: readonly (number | null)[]): string =>
  versions.map((v) => v ?? "any").join(",");

/** SQL that turns a parameter of {@link joinExpected} into an int[]. */
export const splitExpected = (parameter: string): string =>
  `string_to_array(${parameter}, ',', 'any')::int[]`;

/** The only rule by which a commit is accepted: it expects no version, or its expected version is the head. */
export const accepts = (commit: string, head: string): string =>
  `${commit}.expected is null or ${commit}.expected = ${head}`;

/** For a batch in which no stream occurs twice: each commit is compared with the head in the log. */
const decidedAtOnce = `decided as (
    select r.*, ${accepts("r", "r.head")} as accepted from requested r
)`;

/** For a batch with several commits to one stream: each is compared with the head that the commits before it leave. */
const decidedInTurn = `decided as (
    select r.*, ${accepts("r", "r.head")} as accepted from requested r where r.position = 1
  union all
    select r.stream, r.expected, r.size, r.meta, r.token, r.low, r.position, r.ord, next.head, ${accepts("r", "next.head")}
    from decided d
    join requested r on r.stream = d.stream and r.position = d.position + 1
    cross join lateral (select d.head + case when d.accepted then d.size else 0 end as head) next
)`;

/**
 * The INSERT for a batch of any size. append-one.ts has the one for a single small commit, append-citus.ts that for Citus.
 *
 * - One element per commit: $1 stream, $2 expected head or null, $3 number of events, $4 meta, $5 token
 * - $6 oid of the id sequence
 * - One element per event: $7 number of its commit, $8 number within the commit, $9 name, $10 data, $11 pii, $12 paths of
 *   Dates
 * - One element per commit: $13 an event id of its stream, the lower bound of the search for the head
 * - With `repeats`, one element per commit: $14 its position among the commits to its stream (1, 2, …)
 */
function insertText(
  names: Names,
  { headBy, announce, limit, triggers }: AppendMode,
  by: string,
  repeats: boolean,
): string {
  const head = headOf(names, headBy, "$6");
  return `with ${repeats ? "recursive " : ""}requested as materialized (
  select c.*, ${repeats ? `case when c.position = 1 then ${head} end` : head} as head
  from unnest($1::text[], ${splitExpected("$2")}, $3::int[], ${splitJson("$4")}, $5::uuid[], $13::bigint[]${repeats ? ", $14::int[]" : ""})
    with ordinality as c(stream, expected, size, meta, token, low${repeats ? ", position" : ""}, ord)
), ${repeats ? decidedInTurn : decidedAtOnce}, accepted as (
  select ord, stream, size, meta, token, head from decided where accepted
), clock as materialized (select n.created${triggers ? `, ${lastValue("$6")} as last_id` : ""} from (${nowQuery(names, "$6")}) n), inserted as (
  insert into ${names.events} (name, data, stream, version, created, meta, pii, dates, token)
  select m.name, m.data::jsonb, a.stream, a.head + m.nth, clock.created, a.meta::jsonb, m.pii::jsonb, m.dates::jsonb,
    case when m.nth = 1 then a.token end
  from unnest($7::int[], $8::int[], $9::text[], ${splitJson("$10")}, ${splitJson("$11")}, ${splitJson("$12")})
    with ordinality as m(owner, nth, name, data, pii, dates, ord)
  join accepted a on a.ord = m.owner
  cross join clock
  order by m.ord
  returning id, stream, version, name, created
)${announce ? announceText(names, by) : ""}
select decisions.heads, decisions.accepted, events.ids, events.dated, ${createdOf("clock.created")} as created,
  case when events.stored <> decisions.wanted then ${raise("events_left_out")}${
    triggers ? unlessDrawn(names, "$6", "clock.last_id", "events.first", "events.last") : ""
  } end as complete${
    announce ? ", (select count(*) from announced) as announced" : ""
  }${limit === undefined ? "" : `, set_config('statement_timeout', '${limit}', true) as limited`}
from clock,
  (select array_agg(head order by ord)::text as heads, array_agg(accepted order by ord)::text as accepted,
    coalesce(sum(size) filter (where accepted), 0) as wanted from decided) decisions,
  (select array_agg(id order by id)::text as ids${triggers ? LOWEST_AND_HIGHEST : ""}, count(*) as stored,
    ${datedOf(" filter (where created <> (select created from clock))")} as dated from inserted) events`;
}

/**
 * The statements of one mode. The recursive one, `repeated`, is slower (143 µs for one commit instead of 137), and Citus
 * does not support recursion. So it is used only if a stream occurs twice.
 */
export type InsertTexts = {
  /** No stream occurs more than once in the batch. */
  readonly distinct: string;
  /** Some stream occurs more than once in the batch. */
  readonly repeated: string;
};

export const insertTexts = (names: Names, mode: AppendMode, by: string): InsertTexts => ({
  distinct: insertText(names, mode, by, false),
  repeated: insertText(names, mode, by, true),
});

/** For each append, its position among those to the same stream (1, 2, …); undefined if no stream occurs twice. */
function positionsInStream(appends: readonly Append[]): number[] | undefined {
  if (appends.length < 2) return undefined;
  const seen = new Map<string, number>();
  const positions = appends.map(({ stream }) => {
    const position = (seen.get(stream) ?? 0) + 1;
    seen.set(stream, position);
    return position;
  });
  return seen.size < appends.length ? positions : undefined;
}

export function insertQuery(
  { distinct, repeated }: InsertTexts,
  appends: readonly Append[],
  sequence: number | null,
  latestIds?: Pick<LatestIds, "get">,
): Query {
  const owners: number[] = [];
  const nths: number[] = [];
  const events: EncodedEvent[] = [];
  appends.forEach((append, i) => {
    append.events.forEach((event, nth) => {
      owners.push(i + 1);
      nths.push(nth + 1);
      events.push(event);
    });
  });
  const positions = positionsInStream(appends);
  const params: Param[] = [
    textArray(appends.map((a) => a.stream)),
    joinExpected(appends.map((a) => a.expected)),
    numberArray(appends.map((a) => a.events.length)),
    joinJson(appends.map((a) => a.meta)),
    `{${appends.map((a) => a.token).join(",")}}`,
    sequence,
    numberArray(owners),
    numberArray(nths),
    textArray(events.map((e) => e.name)),
    joinJson(events.map((e) => e.data)),
    joinJson(events.map((e) => e.pii)),
    joinJson(events.map((e) => e.dates)),
    numberArray(appends.map((a) => latestIds?.get(a.stream) ?? LOWEST_ID)),
  ];
  if (positions) params.push(numberArray(positions));
  return { text: positions ? repeated : distinct, params, ...AS_INSERT };
}

/** How the INSERTs of this file and of append-one.ts are sent. */
export const AS_INSERT = {
  bindFirst: true,
  ignoresSettings: true,
  raises: ["events_left_out", "ids_set_by_trigger"],
} as const;

/** Both statements with parameters that insert nothing, to prepare them in advance. */
export const emptyInserts = ({ distinct, repeated }: InsertTexts, sequence: number | null): Query[] => {
  const { params = [] } = insertQuery({ distinct, repeated }, [], sequence);
  const values = typeof params === "function" ? params() : params;
  return [
    { text: distinct, params: values, bindFirst: true },
    { text: repeated, params: [...values, "{}"], bindFirst: true },
  ];
};

/** Reads the outcome of each append from the statement's one row. */
export function readAppended(appends: readonly Append[], row: Row | undefined): Appended {
  const heads = parseNumbers(row?.heads);
  const accepted = parseBooleans(row?.accepted);
  const ids = parseNumbers(row?.ids);
  const created = Number(row?.created);
  // Events whose `created` a trigger has changed.
  const dated = typeof row?.dated === "string" ? parseDated(row.dated) : undefined;
  let from = 0;
  const outcomes = appends.map(({ events }, i): Outcome => {
    const head = heads[i];
    if (head === undefined) throw mismatch();
    const size = accepted[i] === true ? events.length : 0;
    from += size;
    const outcome = { accepted: accepted[i] === true, head, ids: ids.slice(from - size, from) };
    return dated ? { ...outcome, dates: outcome.ids.map((id) => dated.get(id) ?? created) } : outcome;
  });
  if (from !== ids.length) throw mismatch();
  return { created: new Date(created), outcomes };
}

const mismatch = () => new Error("the database's answer to an append does not match what was sent");
