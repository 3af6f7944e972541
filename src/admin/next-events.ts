/**
 * The event that a subscription would get next, and how many wait for it. Subscriptions of plain
 * sources share a statement by the hundred; patterns are searched in parts (pattern-search.ts).
 */
import * as z from "zod";
import type { Context } from "../context.ts";
import { isTooComplex } from "../errors.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import type { Names } from "../schema/names.ts";
import { toPattern } from "../values/pattern.ts";
import { TEXTS } from "../values/rules.ts";
import { invalid } from "../values/validate.ts";
import { boundedCount, type Count, countOf, epochMs, instant } from "./bounded.ts";
import { type Search, searchPatterns } from "./pattern-search.ts";
import { type SourceKind, sourceKind } from "./sources.ts";

/** An event without its payload. */
export type EventRef = {
  readonly id: number;
  readonly stream: string;
  readonly version: number;
  readonly name: string;
  readonly created: Date;
};

export type Position = {
  readonly stream: string;
  readonly source: string | undefined;
  /** Watermark: the id of the last event that was handled. */
  readonly at: number;
  /** Work mark: the id up to which there is work. */
  readonly correlatedAt: number | undefined;
  /** `source` is the name of a stream, also if it reads like a pattern. */
  readonly exact?: boolean | undefined;
};

const kindOf = ({ source, exact }: Position): SourceKind => (exact ? "stream" : sourceKind(source));

/**
 * The names of the events that a subscription's reactions are for; undefined if they are not known. The store does not
 * know them: without this option the next event of the source may be one that the app passes over.
 */
export type EventNames = (subscription: string) => readonly string[] | undefined;

export type Pending = {
  /** Undefined if no event waits, or, with `events.exact` false, if none was found within the limits. */
  readonly next: EventRef | undefined;
  /** Events up to the work mark that it has not handled. */
  readonly events: Count;
};

/** Events that are counted at most for each subscription. */
const EVENTS_LIMIT = 1_000;
/** Ids after the watermark that are searched at most for a pattern: there may be no index for it. */
const PATTERN_WINDOW = 100_000;

export const eventRef = z.object({
  id: z.coerce.number(),
  stream: z.string(),
  version: z.coerce.number(),
  name: z.string(),
  created: instant,
});

/**
 * FROM and its conditions, for the events of a source between two ids, without snapshots. It may select more than
 * `limit`, in any order: the caller sorts them by id and limits them.
 *
 * The query has a form for each kind of source. Each form, except the one for a pattern, can be served by only one
 * kind of index, whatever the statistics say. Two things make sure of that. First, the stream or name is compared
 * with a list of one, and ORDER BY begins with it. Second, coalesce() hides the other conditions from the planner.
 * Without them, reading the events of one name in a stream took 5 s in a log of a million.
 */
function waitingFrom(
  { events: log }: Names,
  where: Conditions,
  position: Position,
  only: readonly string[] | undefined,
  ids: string,
): (limit: number) => string {
  const notSnapshot = "e.name <> '__snapshot__'";
  const { source } = position;
  const kind = kindOf(position);
  const named = only && `${where.param(textArray(only))}::text[]`;
  if (kind === "all" && named)
    return (limit) => `from unnest(${named}) n(name) cross join lateral (
    select e.* from ${log} e where e.name = any(array[n.name]) and coalesce(${notSnapshot}, false)${ids}
    order by e.name, e.id limit ${limit}) e`;
  const hidden = [notSnapshot, ...(named ? [`e.name = any(${named})`] : [])].join(" and ");
  if (kind === "stream" && source !== undefined) {
    const stream = `${where.param(source)}::text`;
    return (limit) =>
      `from (select e.* from ${log} e where e.stream = any(array[${stream}])${ids} and coalesce(${hidden}, false)
    order by e.stream, e.id limit ${limit}) e`;
  }
  const pattern = where.fork();
  if (source !== undefined) pattern.match("source", "e.stream", source, false);
  return () => `from ${log} e${pattern.where || " where true"}${ids} and coalesce(${hidden}, false)`;
}

function namesFrom(eventNames: EventNames, stream: string): readonly string[] | undefined {
  const only = eventNames(stream) ?? undefined;
  if (only !== undefined && !TEXTS.test(only))
    throw invalid("names", `what names() returns must be ${TEXTS.takes}, or undefined`);
  return only;
}

/** Parameters of each subscription, in this order: its watermark, the last id to look at, names if given, its source. */
export function nextEventsQuery(
  names: Names,
  positions: readonly Position[],
  eventNames: EventNames = () => undefined,
): Query {
  const where = new Conditions();
  const branches = positions.map((each, index) => {
    const { stream, at, correlatedAt } = each;
    const ids = ` and e.id > ${where.param(at)}::bigint and e.id <= ${where.param(correlatedAt ?? at)}::bigint`;
    const from = waitingFrom(names, where, each, namesFrom(eventNames, stream), ids);
    // There may be no index for a pattern, so one scan finds both the next event and the number.
    if (isPattern(each))
      return `select ${index} as position, f.events, n.*
from (select count(*) as events, min(x.id) as first from (select e.id ${from(1)} order by e.id limit ${EVENTS_LIMIT + 1}) x) f
left join lateral (
  select e.id, e.stream, e.version, e.name, ${epochMs("e.created")} as created from ${names.events} e where e.id = f.first limit 1) n on true`;
    return `select ${index} as position, ${countOf(from(EVENTS_LIMIT + 1), EVENTS_LIMIT)} as events, n.*
from (select 1) one left join lateral (
  select e.id, e.stream, e.version, e.name, ${epochMs("e.created")} as created ${from(1)} order by e.id limit 1) n on true`;
  });
  return { text: branches.join("\nunion all\n"), params: where.params, once: true };
}

const answer = z.object({ position: z.number(), events: boundedCount(EVENTS_LIMIT), id: z.unknown() });

/** Rows of the subscriptions table as positions. */
export const positionsOf = (
  rows: readonly {
    readonly stream: string;
    readonly source: string | undefined;
    readonly at: number;
    readonly correlated_at: number | null;
  }[],
): Position[] =>
  rows.map(({ stream, source, at, correlated_at }) => ({
    stream,
    source,
    at,
    correlatedAt: correlated_at ?? undefined,
  }));

/** The answer for a subscription whose events cannot be looked up. */
const UNREADABLE: Pending = { next: undefined, events: { count: 0, exact: false } };

/** Whether query() accepts the source. Others may be stored, too, and must not make the look-up fail for all subscriptions. */
function isReadable(source: string | undefined): boolean {
  if (source === undefined || sourceKind(source) !== "pattern") return true;
  try {
    toPattern("source", source);
    return true;
  } catch {
    return false;
  }
}

export const isPattern = (position: Position): boolean => kindOf(position) === "pattern";

/** Whether all events are looked at. A pattern is searched in a window only: there may be more events after it. */
const isWhole = (position: Position): boolean =>
  !isPattern(position) || (position.correlatedAt ?? position.at) <= position.at + PATTERN_WINDOW;

/** Subscriptions that one statement looks up: each is a branch of it, with parameters of its own. */
const CHUNK = 100;

/**
 * In the order of `positions`. A source that is no pattern of query(), or too complex for the server, has no events, and
 * no exact count. After `end`, an instant of `performance.now()`, no pattern is searched any further: its count is not exact.
 */
export async function nextEvents(
  context: Context,
  positions: readonly Position[],
  eventNames?: EventNames,
  end = Number.POSITIVE_INFINITY,
): Promise<Pending[]> {
  const found = new Map<Position, Pending>();
  const plain = positions.filter((position) => !isPattern(position));
  for (let from = 0; from < plain.length; from += CHUNK)
    await lookUp(context, plain.slice(from, from + CHUNK), eventNames, found);
  const patterns = positions.filter((position) => isPattern(position) && isReadable(position.source));
  await lookUpPatterns(context, patterns, { eventNames, end, found });
  return positions.map((position) => found.get(position) ?? UNREADABLE);
}

export async function lastId({ names, connections }: Context): Promise<number> {
  const [row] = await connections.read("admin", {
    text: `select coalesce(max(id), 0) as id from ${names.events}`,
  });
  return Number(row?.id);
}

/**
 * Goes on after the window of a pattern in which nothing was found, window by window, until `end`, an instant of
 * `performance.now()`. `found` is what {@link nextEvents} has returned, with the same `end`.
 */
export async function lookFurther(
  context: Context,
  positions: readonly Position[],
  found: readonly Pending[],
  { eventNames, end }: { readonly eventNames?: EventNames | undefined; readonly end: number },
): Promise<Pending[]> {
  const further = [...found];
  const isOpen = (position: Position, pending: Pending | undefined): boolean =>
    pending !== undefined && pending !== UNREADABLE && !pending.next && !isWhole(position);
  let open = positions
    .map((position, index) => ({ position, index }))
    .filter(({ position, index }) => isOpen(position, found[index]));
  // A work mark may be far beyond the log's end.
  const last = open.length > 0 ? await lastId(context) : 0;
  while (open.length > 0 && performance.now() < end) {
    const next = open.map(({ position, index }) => ({
      position: {
        ...position,
        at: position.at + PATTERN_WINDOW,
        correlatedAt: Math.min(position.correlatedAt ?? last, last),
      },
      index,
    }));
    const pending = await nextEvents(
      context,
      next.map(({ position }) => position),
      eventNames,
      end,
    );
    for (const [n, { index }] of next.entries()) further[index] = pending[n] ?? UNREADABLE;
    open = next.filter(({ position, index }) => isOpen(position, further[index]));
  }
  return further;
}

/** Subscriptions with the same pattern, event names and ids share one search. */
async function lookUpPatterns(
  context: Context,
  positions: readonly Position[],
  {
    eventNames,
    end,
    found,
  }: {
    readonly eventNames: EventNames | undefined;
    readonly end: number;
    readonly found: Map<Position, Pending>;
  },
): Promise<void> {
  const same = Map.groupBy(positions, ({ stream, source, at, correlatedAt }) =>
    JSON.stringify([source, at, correlatedAt ?? at, eventNames && namesFrom(eventNames, stream)]),
  );
  const groups = [...same.values()];
  const searches = groups.flatMap(([first]) => (first ? [searchOf(first)] : []));
  const pending = await searchPatterns(searches, {
    limit: EVENTS_LIMIT,
    end,
    lookUp: async (parts) => {
      const some = parts.map(({ position, at, last }): Position => ({ ...position, at, correlatedAt: last }));
      const answers = new Map<Position, Pending>();
      await lookUp(context, some, eventNames, answers);
      return some.map((part) => answers.get(part));
    },
  });
  for (const [n, group] of groups.entries())
    for (const position of group) {
      const answer = pending[n];
      if (!answer) continue;
      const { next, events } = answer;
      found.set(position, { next, events: { ...events, exact: events.exact && isWhole(position) } });
    }
}

function searchOf(position: Position): Search & { readonly position: Position } {
  const { source = "", at, correlatedAt } = position;
  const { kind } = toPattern("source", source);
  const last = Math.min(correlatedAt ?? at, at + PATTERN_WINDOW);
  return { position, at, last, indexed: kind === "equals" || kind === "prefix" };
}

async function lookUp(
  context: Context,
  positions: readonly Position[],
  eventNames: EventNames | undefined,
  found: Map<Position, Pending>,
): Promise<void> {
  const { names, connections } = context;
  const query = nextEventsQuery(names, positions, eventNames);
  const rows = await connections.read("admin", query).catch((error: unknown) => {
    if (!isTooComplex(error)) throw error;
    return undefined;
  });
  if (!rows) {
    // One of the sources is too complex, and must not hide the others.
    const half = positions.length >> 1;
    if (half === 0) return;
    await lookUp(context, positions.slice(0, half), eventNames, found);
    await lookUp(context, positions.slice(half), eventNames, found);
    return;
  }
  for (const position of positions)
    found.set(position, { next: undefined, events: { count: 0, exact: true } });
  for (const row of rows) {
    const { position, events, id } = answer.parse(row);
    const given = positions[position];
    if (!given) continue;
    found.set(given, {
      next: id === null ? undefined : eventRef.parse(row),
      events,
    });
  }
}
