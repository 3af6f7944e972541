/**
 * skip(): moves a blocked subscription past the event that it stands at, and records who did so.
 *
 * The record is a column of the subscription, written by the statement that moves it: there is no skip without a
 * record, no record without a skip, and a role that may operate subscriptions needs no other right.
 */
import * as z from "zod";
import type { Context } from "../context.ts";
import { readByIndex } from "../postgres/by-index.ts";
import { announcedPart, announcing, writeAnnounced } from "../subscriptions/announce.ts";
import { checkGiven, FUNCTION, ID, LIMIT, NAME, type Rules, required, TEXT } from "../values/rules.ts";
import { epochMs, instant, optionalText } from "./bounded.ts";
import { type EventNames, type EventRef, lookFurther, nextEvents, type Position } from "./next-events.ts";

/** Which event to skip for which subscription, by whom, and why. */
export type SkipOptions = {
  /** The subscription. */
  readonly stream: string;
  /** The id of the event that it stands at. If it stands at another one, nothing is skipped. */
  readonly event: number;
  /** Who skips it. */
  readonly by: string;
  /** Only events of these names count; others before `event` are passed over, too. Default: every event of the source. */
  readonly names?: EventNames | undefined;
  /** Why. It is stored, so it must hold no personal data. */
  readonly reason: string;
};

/** The record of an event that was skipped. */
export type Skipped = {
  readonly stream: string;
  readonly event: EventRef;
  readonly by: string;
  readonly reason: string;
  readonly skippedAt: Date;
  /** What the handler had failed with, and how often it was tried. */
  readonly error: string | undefined;
  readonly attempts: number;
};

/** Which records to list. */
export type SkippedOptions = {
  /** Only of this subscription. */
  readonly stream?: string | undefined;
  /** Records at most, the newest first. Default 50. */
  readonly limit?: number | undefined;
};

const RULES: Rules<SkipOptions> = {
  stream: required(NAME),
  event: required(ID),
  by: required(TEXT),
  names: FUNCTION,
  reason: required(TEXT),
};
const SKIPPED_RULES: Rules<SkippedOptions> = { stream: NAME, limit: LIMIT };

/**
 * ms after which the search for the event of a rare pattern ends. It is longer than that of verbs that only show something: an
 * event that is not found cannot be skipped.
 */
const TIME_LIMIT_MS = 30_000;
/** ms after which the search ends for the event that the text of an error names. */
const TOLD_LIMIT_MS = 1_500;

/** Nothing was changed. */
export class SkipError extends Error {
  override readonly name = "SkipError";
}

const position = z.object({
  source: optionalText,
  at: z.coerce.number(),
  correlated_at: z.coerce.number().nullable(),
  blocked: z.boolean(),
});

const record = z
  .object({
    stream: z.string(),
    id: z.coerce.number(),
    event_stream: z.string(),
    version: z.coerce.number(),
    name: z.string(),
    created: instant,
    by: z.string(),
    reason: z.string(),
    skipped_at: instant,
    error: optionalText,
    attempts: z.coerce.number(),
  })
  .transform(
    ({ id, event_stream, version, name, created, skipped_at, ...rest }): Skipped => ({
      ...rest,
      event: { id, stream: event_stream, version, name, created },
      skippedAt: skipped_at,
    }),
  );

const filled = (option: string, text: string): string => {
  if (text.trim() === "") throw new SkipError(`skip needs ${option}: it is recorded. Nothing was skipped.`);
  return text;
};

/** The first event that waits. Undefined also if none was found until `end`, an instant of `performance.now()`. */
async function firstOf(
  context: Context,
  position: Position,
  eventNames: EventNames | undefined,
  end: number,
): Promise<EventRef | undefined> {
  const near = await nextEvents(context, [position], eventNames, end);
  const [pending] = await lookFurther(context, [position], near, { eventNames, end });
  return pending?.next;
}

/**
 * Searches up to the event to skip: if the first event that waits is a later one, nothing is skipped. Only for the text of
 * the error it then looks further.
 *
 * @throws SkipError if the subscription is not there, not blocked, stands at another event, or has moved meanwhile; and if its
 * first event was not found within `limitMs`.
 */
export async function skip(
  context: Context,
  options: SkipOptions,
  limitMs = TIME_LIMIT_MS,
): Promise<Skipped> {
  checkGiven("skip", options, RULES);
  const { stream, event, by, reason, names: eventNames } = options;
  const { names, connections } = context;
  const who = filled("`by`", by);
  const why = filled("`reason`", reason);
  const name = JSON.stringify(stream);
  const [found] = await connections.read("skip", {
    text: `select s.source, s.at, s.correlated_at, s.blocked from ${names.streams} s where s.stream = $1::text`,
    params: [stream],
  });
  if (!found)
    throw new SkipError(`There is no subscription ${name}: \`act-drizzle blocked\` lists what is blocked.`);
  const { source, at, correlated_at, blocked } = position.parse(found);
  if (!blocked)
    throw new SkipError(
      `The subscription ${name} is not blocked, and nothing was skipped: it goes on by itself.`,
    );
  const mark = correlated_at ?? undefined;
  const upToEvent = { stream, source, at, correlatedAt: Math.min(mark ?? at, event) };
  const end = performance.now() + limitMs;
  const next = await firstOf(context, upToEvent, eventNames, end);
  if (next === undefined && performance.now() > end)
    throw new SkipError(
      `The event at which the subscription ${name} stands was not found within ${limitMs / 1_000} s: few events match its source. Nothing was skipped: try it again when the server has less to do.`,
    );
  if (next?.id !== event) {
    const beyond = { stream, source, at: Math.max(at, event), correlatedAt: mark };
    const endOfTold = performance.now() + TOLD_LIMIT_MS;
    const other = next ?? (await firstOf(context, beyond, eventNames, endOfTold));
    const none = performance.now() > endOfTold ? "stands at a later event" : `has no event after ${at}`;
    throw new SkipError(
      `The subscription ${name} ${other ? `stands at event ${other.id}` : none}, not at ${event}. Nothing was skipped: look at \`act-drizzle blocked\` again. If the app does not react to the event that it stands at, give the names of those that it reacts to (--names, --app).`,
    );
  }
  // $1 stream, $2 watermark that was seen, $3 event, $4 by, $5 reason, $6 to $9 the event's stream, version, name, time
  const text = (announce: boolean, citus: boolean) => `with held as materialized (
  select s.stream, s.error, s.retry, s.skipped from ${names.streams} s
  where s.stream = $1::text and s.blocked and s.at = $2::bigint for update of s
), one as materialized (
  select jsonb_build_object('id', $3::bigint, 'event_stream', $6::text, 'version', $7::int, 'name', $8::text,
    'created', $9::numeric, 'by', $4::text, 'reason', $5::text, 'error', h.error, 'attempts', greatest(1, h.retry + 1),
    'skipped_at', floor(${epochMs("clock_timestamp()")})) as record from held h
), changed as (
  update ${names.streams} s set at = $3::bigint, retry = -1, blocked = false, error = null, leased_by = null,
    leased_until = null, deferred_at = null, skipped = coalesce(h.skipped, '[]') || o.record
  from held h cross join one o where s.stream = h.stream returning s.stream, o.record
)${announce ? `, ${announcedPart(context, "exists (select 1 from changed)", citus)}` : ""}
select stream, record${announce ? ", (select count(*) from announced) as announced" : ""} from changed`;
  const { version, name: event_name, created } = next;
  const params = [stream, at, event, who, why, next.stream, version, event_name, created.getTime()];
  const [changed] = await writeAnnounced(context, "skip", (announce) => announcing(text, announce, params));
  if (!changed)
    throw new SkipError(
      `The subscription ${name} has moved or was unblocked meanwhile. Nothing was skipped: look at \`act-drizzle blocked\` again.`,
    );
  return record.parse({ ...z.record(z.string(), z.unknown()).parse(changed.record), stream });
}

/** The records of all skips, the newest first. */
export async function skipped(
  { names, connections }: Context,
  options: SkippedOptions = {},
): Promise<Skipped[]> {
  checkGiven("skipped", options, SKIPPED_RULES);
  const { stream, limit = 50 } = options;
  // $1 limit, $2 stream
  const rows = await readByIndex(connections, "admin", {
    text: `select s.stream, r.record from ${names.streams} s cross join lateral jsonb_array_elements(s.skipped) r(record)
where s.skipped is not null${stream === undefined ? "" : " and s.stream = $2::text"}
order by (r.record ->> 'skipped_at')::float8 desc, s.stream limit $1::bigint`,
    params: [limit, ...(stream === undefined ? [] : [stream])],
  });
  return rows.map((row) =>
    record.parse({ ...z.record(z.string(), z.unknown()).parse(row.record), stream: row.stream }),
  );
}
