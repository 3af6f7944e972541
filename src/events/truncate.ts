/**
 * truncate(): deletes the events of streams, and starts each with a snapshot or a tombstone. All streams go together,
 * in one transaction under the append lock, which is sent as one message. So a concurrent commit is stored wholly
 * before it or wholly after it.
 */
import {
  type Committed,
  type EventMeta,
  type Schema,
  type Schemas,
  StoreError,
  type TruncateResult,
} from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { codeOf, raise, toStoreError } from "../errors.ts";
import { SORT_AS_BEFORE, WITHOUT_SORT } from "../postgres/by-index.ts";
import type { Query, Row } from "../postgres/index.ts";
import { joinJson, numberArray, parseNumbers, splitJson, textArray } from "../postgres/parameters.ts";
import { lockAppends } from "../schema/append-lock.ts";
import { eventColumns, millisOf } from "../schema/event-rows.ts";
import { idSequence } from "../schema/id-sequence.ts";
import type { Names } from "../schema/names.ts";
import { toTime } from "../values/time.ts";
import {
  checkArray,
  checkNumber,
  checkObject,
  checkOptionalObject,
  checkText,
  invalid,
  toId,
} from "../values/validate.ts";
import { nowQuery } from "./append.ts";
import { encodeEvents } from "./encode-messages.ts";
import { lastValue, unlessDrawn } from "./ids-drawn.ts";
import { moveSequence, raiseOwnSequence } from "./raise-sequence.ts";

/** A stream to shorten, and the event that replaces its events. */
export type TruncateTarget = {
  stream: string;
  /** The state that replaces the events. Default: a tombstone replaces them. */
  snapshot?: Schema;
  /** Meta of the snapshot or tombstone. Default: no correlation and no causation. */
  meta?: EventMeta;
  /** If set, deletes only the events before the stream's latest snapshot that is older than this, and writes no event. */
  before?: Date;
  /** With `before`: the highest id that this snapshot may have. Default: no limit. */
  max_id?: number;
};

const SNAPSHOT = "__snapshot__";
const TOMBSTONE = "__tombstone__";
const UNIQUE_VIOLATION = "23505";
const DEFAULT_META: EventMeta = { correlation: "", causation: {} };

function check(targets: readonly TruncateTarget[]): void {
  checkArray("truncate", "targets", targets);
  for (const target of targets) {
    checkObject("truncate", "each target", target);
    checkText("truncate", "stream", target.stream);
    checkOptionalObject("truncate", "snapshot", target.snapshot);
    checkOptionalObject("truncate", "meta", target.meta);
    if (target.max_id !== undefined && target.max_id !== null)
      checkNumber("truncate", "max_id", target.max_id);
    if (
      target.before !== undefined &&
      !(target.before instanceof Date && Number.isFinite(target.before.getTime()))
    )
      throw invalid("truncate", "before must be a valid Date");
  }
}

/**
 * Deletes the events before the latest qualifying snapshot of each stream, and returns those snapshots.
 *
 * It runs under the append lock, so it has to be quick. It looks up the ids stream by stream, and deletes by id. It compares
 * the stream with a list of one, and orders by stream first. Without a sort ({@link WITHOUT_SORT}), only an index that begins
 * with the stream can serve that. By a join on the stream, the planner walked the whole log for a quiet stream as soon as
 * statistics showed a few busy ones: 1 s for 1.8 million events.
 *
 * $1 streams, $2 `before` in ms, $3 `max_id`: one element per target
 */
function windowQuery(names: Names, targets: readonly TruncateTarget[]): Query {
  return {
    text: `with boundary as materialized (
  select t.act_ord, s.* from unnest($1::text[], $2::float8[], $3::bigint[]) with ordinality as t(target, before, max_id, act_ord)
  cross join lateral (
    select x.* from ${names.events} x
    where x.stream = any(array[t.target]) and x.name = '__snapshot__' and x.created < to_timestamp(t.before / 1000)
      and (t.max_id is null or x.id <= t.max_id)
    order by x.stream desc, x.id desc limit 1) s
), earlier as materialized (
  select array(select x.id from boundary b cross join lateral (
    select e.id from ${names.events} e where e.stream = any(array[b.stream]) and e.id < b.id
    order by e.stream using ~<~, e.id) x) as ids
), deleted as (
  delete from ${names.events} e where e.id = any((select ids from earlier)::bigint[]) returning e.stream
), counted as (
  select stream, count(*) as deleted from deleted group by stream
)
select ${eventColumns("b", { pii: false })}, b.act_ord::int as ord, coalesce(c.deleted, 0)::int as deleted
from boundary b left join counted c on c.stream = b.stream`,
    params: [
      textArray(targets.map((t) => t.stream)),
      numberArray(targets.map((t) => toTime(t.before?.getTime() ?? 0))),
      numberArray(
        targets.map((t) => (t.max_id === undefined || t.max_id === null ? null : toId(Math.floor(t.max_id)))),
      ),
    ],
    bindFirst: true,
  };
}

/**
 * Deletes all events of the streams. It is a statement of its own, because the new events reuse versions that it frees. It
 * fails if a trigger keeps events: they would stand beside the new first event of their stream, with higher versions.
 *
 * $1 streams
 */
function deleteQuery(names: Names, targets: readonly TruncateTarget[]): Query {
  return {
    text: `with deleted as (
  delete from ${names.events} where stream = any($1::text[]) returning stream
)
select t.stream, count(d.stream)::int as deleted,
  case when (select count(*) from ${names.events} where stream = any($1::text[])) > (select count(*) from deleted)
    then ${raise("events_kept")} end as complete
from unnest($1::text[]) as t(stream) left join deleted d on d.stream = t.stream group by t.stream`,
    params: [textArray(targets.map((t) => t.stream))],
    bindFirst: true,
    raises: ["events_kept"],
  };
}

/**
 * Writes the first event of each emptied stream. It fails if a trigger leaves one out: the stream would be gone.
 *
 * $1 streams, $2 names, and the JSON documents $3 data, $4 meta, $5 dates: one element per stream
 */
function seedQuery(names: Names, targets: readonly TruncateTarget[]): Query {
  const seeds = targets.map(({ stream, snapshot, meta }) => {
    const name = snapshot === undefined ? TOMBSTONE : SNAPSHOT;
    const { events, meta: metaText } = encodeEvents(
      stream,
      [{ name, data: snapshot ?? {} }],
      meta ?? DEFAULT_META,
      undefined,
    );
    return { stream, name, meta: metaText, data: events[0]?.data ?? "{}", dates: events[0]?.dates ?? "{}" };
  });
  const text = (sequence: string) => `with clock as materialized (
  select n.created, ${lastValue(sequence)} as last_id from (${nowQuery(names, sequence)}) n
), seeded as (
  insert into ${names.events} (name, data, stream, version, created, meta, dates)
  select s.name, s.data::jsonb, s.stream, 0, clock.created, s.meta::jsonb, s.dates::jsonb
  from unnest($1::text[], $2::text[], ${splitJson("$3")}, ${splitJson("$4")}, ${splitJson("$5")})
    with ordinality as s(stream, name, data, meta, dates, ord) cross join clock
  order by s.ord
  returning id, created
)
select (select array_agg(id order by id)::text from seeded) as ids,
  (select array_agg(${millisOf("created")} order by id)::text from seeded) as dates,
  case when (select count(*) from seeded) < ${seeds.length} then ${raise("events_left_out")}${unlessDrawn(names, sequence, "(select last_id from clock)", "(select min(id) from seeded)", "(select max(id) from seeded)")} end as complete`;
  return {
    text: text(idSequence(names)),
    // On Citus the sequence may be on another node than the log.
    citus: () => text("null"),
    params: [
      textArray(seeds.map((s) => s.stream)),
      textArray(seeds.map((s) => s.name)),
      joinJson(seeds.map((s) => s.data)),
      joinJson(seeds.map((s) => s.meta)),
      joinJson(seeds.map((s) => s.dates)),
    ],
    bindFirst: true,
    raises: ["events_left_out", "ids_set_by_trigger"],
  };
}

/** The last target of each stream. It is called once for targets with `before`, and once for those without. */
const lastPerStream = (targets: readonly TruncateTarget[]) => [
  ...new Map(targets.map((t) => [t.stream, t])).values(),
];

/**
 * A writer that does not hold the append lock, such as act-pg or SQL by hand, may delete events at the same moment. The
 * DELETE then finds fewer rows than its snapshot has, as if a trigger kept them. Run again, it has a new snapshot. A trigger
 * keeps the rows every time.
 */
const TRIES = 5;

/**
 * Runs the queries. If a unique index refuses a row, rows may have been inserted with explicit ids meanwhile: then the
 * sequence is moved past the log's highest id, as for a commit, and the queries run again.
 */
async function run(context: Context, queries: readonly Query[]): Promise<readonly (readonly Row[])[]> {
  let moved = false;
  for (let left = TRIES; ; ) {
    try {
      return await context.connections.transaction("truncate", queries);
    } catch (error) {
      const code = error instanceof StoreError ? codeOf(error.cause) : undefined;
      if (code === UNIQUE_VIOLATION && !moved) {
        moved = true;
        // Without the right to move the sequence, the first error says what is wrong.
        if (!(await followLog(context).catch(() => false))) throw error;
      } else if (code !== "EVENTS_KEPT" || --left === 0) throw error;
    }
  }
}

/** Moves the sequence past the log's highest id. False if the sequence is not known. */
async function followLog({ names, connections }: Context): Promise<boolean> {
  const [row] = await connections.write("truncate", {
    text: `select ${idSequence(names)}::bigint as sequence`,
  });
  if (row?.sequence === undefined || row.sequence === null) return false;
  const moved = moveSequence(names, Number(row.sequence));
  await connections.transaction("truncate", [lockAppends(names, connections.deadline), moved]);
  return true;
}

/**
 * A target without `before`: one `__snapshot__` or `__tombstone__` at version 0 replaces all events of the stream.
 *
 * A target with `before`: the events before the latest snapshot that is older than `before`, and not beyond `max_id`,
 * are deleted. Without such a snapshot nothing happens, and the stream is not in the result.
 *
 * Subscriptions are not touched.
 */
export async function truncate(
  context: Context,
  targets: readonly TruncateTarget[],
): Promise<TruncateResult> {
  check(targets);
  const { names, connections, reader } = context;
  // If a stream has targets of both kinds, the one without `before` comes second, and deletes what the other has left.
  const windowed = lastPerStream(targets.filter((t) => t.before !== undefined));
  const full = lastPerStream(targets.filter((t) => t.before === undefined));
  const result: TruncateResult = new Map();
  if (targets.length === 0) return result;
  const queries: Query[] = [lockAppends(names, connections.deadline)];
  if (windowed.length > 0) queries.push(WITHOUT_SORT, windowQuery(names, windowed), SORT_AS_BEFORE);
  if (full.length > 0)
    queries.push(raiseOwnSequence(names), deleteQuery(names, full), seedQuery(names, full));
  const [, ...answers] = await run(context, queries);
  try {
    if (windowed.length > 0) {
      const [, rows = []] = answers.splice(0, 3);
      // The rows have no pii, so no key is needed.
      const decode = await reader.forRows(rows);
      for (const row of rows)
        result.set(String(row.stream), {
          deleted: Number(row.deleted),
          committed: decode(row),
          before: windowed[Number(row.ord) - 1]?.before,
        });
    }
    if (full.length > 0) addSeeds(result, full, answers[1] ?? [], answers[2]?.[0]);
    return result;
  } catch (error) {
    throw toStoreError("truncate", error);
  }
}

function addSeeds(
  result: TruncateResult,
  full: readonly TruncateTarget[],
  deletedRows: readonly Row[],
  seeded: Row | undefined,
): void {
  const deleted = new Map(deletedRows.map((row) => [row.stream, Number(row.deleted)]));
  const ids = parseNumbers(seeded?.ids);
  const dates = parseNumbers(seeded?.dates);
  full.forEach(({ stream, snapshot, meta }, i) => {
    const committed: Committed<Schemas, keyof Schemas> = {
      id: Number(ids[i]),
      stream,
      version: 0,
      created: new Date(Number(dates[i])),
      name: snapshot === undefined ? TOMBSTONE : SNAPSHOT,
      data: snapshot ?? {},
      meta: meta ?? DEFAULT_META,
    };
    result.set(stream, { deleted: deleted.get(stream) ?? 0, committed });
  });
}
