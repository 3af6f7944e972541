/**
 * subscribe(): registers subscriptions, raises their work marks, advances the correlators' checkpoint and takes the
 * correlator lease, in one statement. Its text has only the parts that the call asks for.
 *
 * Rows are upserted in order of stream. Every verb that waits for row locks takes them in this order, so that no two
 * can deadlock. Entries that would change nothing are left out first, so that they lock and rewrite no row.
 */
import type { SubscribeInput, SubscribeResult } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { type Correlator, correlatorsOf } from "../correlators.ts";
import { storeError } from "../errors.ts";
import type { Param, Row } from "../postgres/index.ts";
import { nullableTextArray, numberArray, textArray } from "../postgres/parameters.ts";
import { checkpointSeen, NO_ROW, noteCheckpoint } from "../schema/checkpoints-seen.ts";
import type { Names } from "../schema/names.ts";
import {
  checkArray,
  checkNumber,
  checkObject,
  checkOptionalText,
  checkText,
  toId,
  toInt,
} from "../values/validate.ts";
import { adviseNotify } from "./advise.ts";
import { announcedPart, announcing, writeAnnounced } from "./announce.ts";
import { noteLease } from "./correlator-leases.ts";
import { toLeaseMillis } from "./lease.ts";

/**
 * The given entries that would change something. `absent`: the subscription is not there yet.
 *
 * $1 streams, $2 sources, $3 priorities, $4 lanes, $5 work marks: one element per subscription
 */
const wantedQuery = ({ streams }: Names) => `select g.*, s.stream is null as absent
    from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[]) as g(stream, source, priority, lane, mark)
    left join ${streams} s on s.stream = g.stream
    where s.stream is null or g.priority > s.priority or (g.priority = s.priority and g.lane <> s.lane)
      or g.mark > s.correlated_at or (g.mark is not null and s.correlated_at is null)`;

/**
 * Upserts the subscriptions. The lane is written if the given priority is at least the stored one. On Citus `wanted` is a
 * subquery, so that the INSERT runs on the table's node, and `absent` is not counted: the count only shows whether a trigger
 * left out a row, and Citus allows no triggers on this table.
 */
const streamsPart = (names: Names, citus: boolean) => `${
  citus ? "" : `wanted as materialized (\n    ${wantedQuery(names)}\n), `
}upserted as (
  insert into ${names.streams} as s (stream, source, priority, lane, correlated_at, retry, at)
  select stream, source, priority, lane, mark, -1, -1 from ${
    citus ? `(\n    ${wantedQuery(names)}\n    offset 0\n  ) wanted` : "wanted"
  } order by stream
  on conflict (stream) do update set
    lane = case when excluded.priority >= s.priority then excluded.lane else s.lane end,
    priority = greatest(s.priority, excluded.priority),
    correlated_at = greatest(s.correlated_at, excluded.correlated_at)
  where excluded.priority > s.priority or (excluded.priority = s.priority and excluded.lane <> s.lane)
     or excluded.correlated_at > s.correlated_at or (excluded.correlated_at is not null and s.correlated_at is null)
  returning (xmax = 0) as created, s.at < s.correlated_at as pending
)`;

/**
 * The new checkpoint as SQL: `at` in a query, `inRow` in an UPDATE in which `c` is the correlator's row. Its value is null if it
 * is an id of a log that was replaced.
 */
type Checkpoint = { readonly at: string; readonly inRow: string };

/**
 * `at`, `key` and `seen` are parameters; `seen`: what {@link checkpointSeen} tells. `absent` stands for a row that is not there.
 * On Citus the stored checkpoint is not compared with `seen`: an INSERT there takes no subquery that reads it.
 */
function newCheckpoint(
  { correlated }: Names,
  citus: boolean,
  { at, key, seen, absent }: { at: string; key: string; seen: string; absent: number },
): Checkpoint {
  const given = (condition: string) => `case when ${condition} then ${at}::bigint end`;
  if (citus)
    return { at: given(`${key}::text is not null and ${seen}::bigint is not null`), inRow: `${at}::bigint` };
  return {
    at: given(
      `coalesce((select at from ${correlated} where key = ${key}::text), ${absent}) >= ${seen}::bigint`,
    ),
    inRow: given(`c.at >= ${seen}::bigint`),
  };
}

/** Raises the shared checkpoint, in row '', to `at`. It is the maximum of all correlators' checkpoints. */
const sharedPart = ({ correlated }: Names, { at }: Checkpoint) => `shared as (
  insert into ${correlated} as c (key, at) select '', given.at from (select ${at} as at) given
  where given.at > coalesce((select at from ${correlated} where key = ''), -1)
  on conflict (key) do update set at = excluded.at where c.at < excluded.at
  returning at
)`;

/**
 * Advances the checkpoint of one correlator, and takes its lease if it is free, expired or the caller's own. A caller
 * that does not get the lease still advances the checkpoint. The lease was granted if `leased_by` is then the caller. A
 * lease without a holder or an expiry is free.
 *
 * Parameters: `at`, the checkpoint, if given; `key` of the correlator; `by`, the caller; `millis`, the length of the
 * lease. 0 or less releases the lease: `leased_by` of a row that was there is then null, and `leased_until` is the time of
 * the release, from which reap() counts.
 */
const correlatorPart = (
  { correlated }: Names,
  checkpoint: Checkpoint | undefined,
  [key, by, millis]: readonly string[],
) => {
  const length = `greatest(${millis}::float8, 0) * interval '1 millisecond'`;
  // Compares both expiries to see whether the lease has expired, because Citus allows no clock in DO UPDATE.
  const free = `(c.leased_until is null or c.leased_by is null or excluded.leased_until - c.leased_until > ${length} or c.leased_by = excluded.leased_by)`;
  return `lease as (
  insert into ${correlated} as c (key, at, leased_by, leased_until)
  select ${key}::text, greatest(-1, now.at${checkpoint ? `, ${checkpoint.at}` : ""}), ${by}::text, now.until from (
    select coalesce(max(at), -1) as at, clock_timestamp() + ${length} as until from ${correlated} where key = '') now
  on conflict (key) do update set
    at = greatest(c.at, ${checkpoint ? checkpoint.inRow : "-1"}),
    leased_by = case when ${free} then case when ${millis}::float8 > 0 then excluded.leased_by end else c.leased_by end,
    leased_until = case when ${free} then excluded.leased_until else c.leased_until end
  returning at, coalesce(leased_by = ${by}::text, true) as correlating
)`;
};

/** Merges several entries of one stream, so that the result is that of one call per entry. */
function fold(
  streams: readonly SubscribeInput[],
): (SubscribeInput & { readonly priority: number; readonly lane: string })[] {
  const byStream = new Map<string, SubscribeInput & { priority: number; lane: string }>();
  for (const entry of streams) {
    const next = { ...entry, priority: toInt(entry.priority ?? 0), lane: entry.lane ?? "default" };
    const first = byStream.get(entry.stream);
    if (!first) {
      byStream.set(entry.stream, next);
      continue;
    }
    const marks = [first.correlated_at, next.correlated_at].filter((m) => m !== undefined && m !== null);
    byStream.set(entry.stream, {
      ...first,
      lane: next.priority >= first.priority ? next.lane : first.lane,
      priority: Math.max(first.priority, next.priority),
      correlated_at: marks.length > 0 ? Math.max(...marks) : undefined,
    });
  }
  return [...byStream.values()];
}

function check(
  streams: readonly SubscribeInput[],
  correlatedAt: number | undefined,
  correlator: Correlator | undefined,
) {
  checkArray("subscribe", "streams", streams);
  for (const entry of streams) {
    checkObject("subscribe", "each entry", entry);
    checkText("subscribe", "stream", entry.stream);
    checkOptionalText("subscribe", "source", entry.source);
    checkOptionalText("subscribe", "lane", entry.lane);
    if (entry.priority !== undefined) checkNumber("subscribe", "priority", entry.priority);
    if (entry.correlated_at !== undefined && entry.correlated_at !== null)
      checkNumber("subscribe", "correlated_at", entry.correlated_at);
  }
  if (correlatedAt !== undefined && correlatedAt !== null)
    checkNumber("subscribe", "correlated_at", correlatedAt);
  if (correlator === undefined || correlator === null) return;
  checkObject("subscribe", "correlator", correlator);
  checkText("subscribe", "correlator.key", correlator.key);
  checkText("subscribe", "correlator.by", correlator.by);
  checkNumber("subscribe", "correlator.millis", correlator.millis);
}

/**
 * How often the statement runs while some of the given subscriptions are missing afterwards. Another process may have
 * created them first, and then a restore or a reap deleted them: the next run creates them. If a trigger leaves them out,
 * every run ends like that.
 */
const TRIES = 5;

const leftOut = (what: string) =>
  storeError("subscribe", new Error(`${what}; fix or drop the trigger, and try again`));

/** How many of the given subscriptions are not there. */
async function countMissing(
  { connections, names }: Context,
  given: readonly SubscribeInput[],
): Promise<number> {
  const [row] = await connections.write("subscribe", {
    text: `select count(*)::int as missing from unnest($1::text[]) g(stream)
  where not exists (select from ${names.streams} s where s.stream = g.stream)`,
    params: [textArray(given.map(({ stream }) => stream))],
  });
  return Number(row?.missing);
}

/**
 * Returns how many subscriptions are new, the highest watermark of all (-1 if there are none), and the checkpoint. With a
 * `correlator` it also returns whether its request was granted: it holds the lease of its key, or has released it.
 */
export async function subscribe(
  context: Context,
  streams: readonly SubscribeInput[],
  correlatedAt?: number,
  correlator?: Correlator,
): Promise<SubscribeResult> {
  check(streams, correlatedAt, correlator);
  adviseNotify(context, streams.length);
  const { names } = context;
  const params: Param[] = [];
  const given = fold(streams);
  const param = (value: Param) => `$${params.push(value)}`;
  if (streams.length > 0) {
    param(textArray(given.map((s) => s.stream)));
    param(nullableTextArray(given.map((s) => s.source ?? null)));
    param(numberArray(given.map((s) => s.priority)));
    param(textArray(given.map((s) => s.lane)));
    param(
      numberArray(
        given.map((s) =>
          s.correlated_at === undefined || s.correlated_at === null ? null : toId(s.correlated_at),
        ),
      ),
    );
  }
  const at = correlatedAt === undefined || correlatedAt === null ? undefined : param(toId(correlatedAt));
  const key = correlator?.key ?? "";
  const lease = correlator && [param(key), param(correlator.by), param(toLeaseMillis(correlator.millis))];
  const compared = at && {
    at,
    key: lease?.[0] ?? param(key),
    seen: param(checkpointSeen(names, key)),
    // The shared row is there only once it was advanced. A correlator has a row since it first asked for its lease.
    absent: key === "" ? -1 : NO_ROW,
  };
  const correlatorParts = (citus: boolean) => {
    const given = compared ? newCheckpoint(names, citus, compared) : undefined;
    return {
      // The correlator with the empty key has the shared row as its own, and correlatorPart advances it.
      parts: [
        ...(given && correlator?.key !== "" ? [sharedPart(names, given)] : []),
        ...(lease ? [correlatorPart(names, given, lease)] : []),
      ],
      checkpoint: lease
        ? "(select at from lease)"
        : `greatest(-1, coalesce((select at from ${names.correlated} where key = ''), -1)${given ? `, ${given.at}` : ""})`,
    };
  };
  // The framework always advances the checkpoint when it sets work marks. So marks without a checkpoint come from an operator
  // or a script, and the listeners are notified if they make work.
  const byHand = !at && !correlator && streams.length > 0;
  const text = (announce: boolean, citus: boolean) => {
    const { parts, checkpoint } = correlatorParts(citus);
    const all = [
      ...(given.length > 0 ? [streamsPart(names, citus)] : []),
      ...parts,
      ...(announce ? [announcedPart(context, "exists (select 1 from upserted where pending)", citus)] : []),
    ];
    return `${all.length > 0 ? `with ${all.join(", ")} ` : ""}select
  ${given.length > 0 ? "(select count(*) from upserted where created)" : "0"}::int as subscribed,
  ${given.length > 0 && !citus ? "(select count(*) from wanted where absent)" : "0"}::int as absent,
  coalesce((select at from ${names.streams} order by at desc limit 1), -1) as watermark,
  ${checkpoint} as checkpoint${correlator ? ", (select correlating from lease) as correlating" : ""}${
    announce ? ", (select count(*) from announced) as announced" : ""
  }`;
  };
  const since = performance.now();
  let row: Row | undefined;
  let subscribed = 0;
  for (let left = TRIES, missing = 1; missing > 0; ) {
    [row] = await writeAnnounced(context, "subscribe", (announce) =>
      announcing(text, announce && byHand, params),
    );
    subscribed += Number(row?.subscribed);
    // If fewer were created than were absent, another process has subscribed them meanwhile, or a trigger has left them out.
    missing = Number(row?.absent) > Number(row?.subscribed) ? await countMissing(context, given) : 0;
    if (missing > 0 && --left === 0)
      throw leftOut(
        `a trigger on ${names.streams} left out ${missing} of ${given.length} subscriptions: nobody would handle their events`,
      );
  }
  if (correlator && row?.correlating === null)
    throw leftOut(
      `a trigger on ${names.correlated} left out the correlator's row: nobody would read the log for it`,
    );
  noteCheckpoint(names, key, Number(row?.checkpoint));
  const correlating = row?.correlating === true;
  const correlators = correlatorsOf(context);
  correlators.noteStart(key, Number(row?.checkpoint));
  if (correlator) {
    noteLease(context, correlator, correlating, since);
    correlators.noteRequest(correlator, correlating);
  }
  // Correlators read the log from these ids on.
  context.connections.seen?.event(Math.max(Number(row?.watermark), Number(row?.checkpoint)));
  return {
    subscribed,
    watermark: Math.max(-1, Number(row?.watermark)),
    correlated_at: Number(row?.checkpoint),
    ...(correlator && { correlating }),
  };
}
