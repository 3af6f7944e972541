/**
 * A page of the log for a person to browse: in both directions, by any filter, at a bounded cost. If no index serves the
 * filter, the log is searched in parts until a time limit, and the page says where it stopped.
 */
import * as z from "zod";
import type { Context } from "../context.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query } from "../postgres/index.ts";
import { eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { toPattern } from "../values/pattern.ts";
import { checkGiven, type Rules, TEXT } from "../values/rules.ts";
import { EVENT_RULES, type EventFilter, type EventView, events, VIEW_COLUMNS, viewsOf } from "./events.ts";
import { firstIdSince } from "./first-since.ts";

/** Filters for the events of a page, and the direction in which to read. An event must match every filter that is given. */
export type LogFilter = Pick<
  EventFilter,
  "stream" | "streamExact" | "names" | "correlation" | "createdAfter" | "createdBefore" | "payload"
> & {
  /** Id or name of who acted, as the framework recorded it. */
  readonly actor?: string | undefined;
  /** Towards the beginning, from this id, exclusive. Without `before` and `after`: from the newest event. */
  readonly before?: number | undefined;
  /** Towards the end, from this id, exclusive. With `before`, the page reads back from `before` and ends at `after`. */
  readonly after?: number | undefined;
  /** Events at most. Default 100. */
  readonly limit?: number | undefined;
};

/** A page of the log, and where the pages before and after it begin. */
export type LogPage = {
  /** Newest first. A page may be short, and even empty, without being the last. */
  readonly events: readonly EventView[];
  /** Give it as `before` to get the next older page. Undefined: nothing older matches. */
  readonly older: number | undefined;
  /** Give it as `after` to get the next newer page. Undefined for an empty log. */
  readonly newer: number | undefined;
  /** The range of ids that was searched, inclusive. */
  readonly searched: { readonly from: number; readonly to: number };
  readonly firstId: number | undefined;
  readonly lastId: number | undefined;
};

const { forward: _forward, ...rules } = EVENT_RULES;
const RULES: Rules<LogFilter> = { ...rules, actor: TEXT };
const DEFAULT_LIMIT = 100;
/** Ids that one statement searches at most: few at first, so that a filter which finds much is answered at once. */
const FIRST_PART = 20_000;
const LARGEST_PART = 200_000;
/** Ids of one statement that looks into `meta`. */
const ACTOR_PART = 20_000;
/** ms after which a page ends where it is. */
const TIME_LIMIT_MS = 1_000;

const ends = z.object({
  first: z.coerce.number().nullable(),
  last: z.coerce.number().nullable(),
});

export const endsText = ({ events: log }: Names): string =>
  `select (select min(id) from ${log}) as first, (select max(id) from ${log}) as last`;

/** The next existing id, so that deleted parts of the log are skipped. $1 the id */
export const nearestText = ({ events: log }: Names, forward: boolean): string =>
  forward
    ? `select min(id) as id from ${log} where id >= $1::bigint`
    : `select max(id) as id from ${log} where id <= $1::bigint`;

type Part = { readonly from: number; readonly to: number; readonly limit: number; readonly forward: boolean };

/**
 * The statement that searches one part of the log, for a filter with `actor`. The parameters: the actor, the filters
 * given, `from`, `to`, limit.
 */
export function actorQuery(names: Names, filter: LogFilter, { from, to, limit, forward }: Part): Query {
  const { actor = "", stream, streamExact, names: wanted, correlation } = filter;
  const where = new Conditions();
  const residual = where.fork();
  const who = residual.param(actor);
  residual.add(
    `(e.meta #>> '{causation,action,actor,id}' = ${who}::text or e.meta #>> '{causation,action,actor,name}' = ${who}::text)`,
  );
  if (stream) residual.match("stream", "e.stream", stream, streamExact);
  if (wanted)
    residual.add(
      `e.name in (select jsonb_array_elements_text(${residual.param(JSON.stringify(wanted))}::text::jsonb))`,
    );
  if (correlation) residual.add(`e.meta ->> 'correlation' = ${residual.param(correlation)}::text`);
  where.add(`e.id >= ${where.param(from)}::bigint`);
  where.add(`e.id <= ${where.param(to)}::bigint`);
  // coalesce hides the other conditions from the indexes: a part is read in order of id, whatever the statistics say.
  where.add(`coalesce(${residual.where.replace(/^ where /, "")}, false)`);
  const by = forward ? "" : " desc";
  return {
    text: `select ${VIEW_COLUMNS} from (select ${eventColumns("e", { pii: true })}
  from ${names.events} e${where.where} order by e.id${by} limit ${where.param(limit)}::bigint) q order by q.id${by}`,
    params: where.params,
  };
}

async function partOf(context: Context, filter: LogFilter, part: Part): Promise<EventView[]> {
  const { stream, streamExact, names, correlation, payload = false } = filter;
  if (filter.actor) {
    const rows = await context.connections.read("admin", actorQuery(context.names, filter, part));
    return viewsOf(context, rows, payload);
  }
  const { from, to, limit, forward } = part;
  return events(context, {
    ...{ stream, streamExact, names, correlation, payload },
    ...{ after: from - 1, before: to + 1, limit, forward },
  });
}

/** Whether one index finds the events of the filter in order of id. Then the log need not be searched in parts. */
const isIndexed = ({ stream, streamExact, names, correlation, actor }: LogFilter): boolean =>
  !actor && !correlation && (stream ? streamExact === true && !names : true);

/** The first and the last id that the filter's times and bounds allow. */
async function boundsOf(context: Context, filter: LogFilter, first: number, last: number) {
  const { createdAfter, createdBefore, after, before } = filter;
  let [from, to] = [first, last];
  // Times are shown in whole milliseconds, so later than .001 means from .002 on.
  if (createdAfter) from = Math.max(from, (await firstIdSince(context, createdAfter.getTime() + 1)) ?? from);
  if (createdBefore)
    to = Math.min(to, ((await firstIdSince(context, createdBefore.getTime())) ?? to + 1) - 1);
  if (after !== undefined) from = Math.max(from, after + 1);
  if (before !== undefined) to = Math.min(to, before - 1);
  return { from, to };
}

/** Searches part by part, from one end of the bounds to the other, until the page is full or its time is up. */
async function search(
  context: Context,
  filter: LogFilter,
  bounds: { readonly from: number; readonly to: number },
  forward: boolean,
): Promise<{ readonly found: EventView[]; readonly left: { readonly from: number; readonly to: number } }> {
  const { limit = DEFAULT_LIMIT } = filter;
  const end = performance.now() + TIME_LIMIT_MS;
  const found: EventView[] = [];
  let { from, to } = bounds;
  let size = isIndexed(filter) ? Number.POSITIVE_INFINITY : filter.actor ? ACTOR_PART : FIRST_PART;
  while (from <= to && found.length < limit) {
    const part = forward
      ? { from, to: Math.min(to, from + size - 1) }
      : { from: Math.max(from, to - size + 1), to };
    const wanted = limit - found.length;
    const page = await partOf(context, filter, { ...part, limit: wanted, forward });
    found.push(...page);
    const last = page.length === wanted ? page.at(-1)?.id : undefined;
    if (forward) from = (last ?? part.to) + 1;
    else to = (last ?? part.from) - 1;
    if (last !== undefined || from > to || performance.now() > end) break;
    if (!filter.actor) size = Math.min(size * 4, LARGEST_PART);
    const { connections, names } = context;
    const [row] = await connections.read("admin", {
      text: nearestText(names, forward),
      params: [forward ? from : to],
    });
    const nearest = row?.id === null || row?.id === undefined ? undefined : Number(row.id);
    if (forward) from = nearest ?? to + 1;
    else to = nearest ?? from - 1;
  }
  return { found, left: { from, to } };
}

/** @throws ValidationError for a pattern that cannot be matched exactly. */
export async function log(context: Context, filter: LogFilter = {}): Promise<LogPage> {
  checkGiven("log", filter, RULES);
  // A wrong pattern is refused even if the log is empty.
  if (filter.stream && !filter.streamExact) toPattern("stream", filter.stream);
  const [row] = await context.connections.read("admin", { text: endsText(context.names) });
  const { first, last } = ends.parse(row);
  const edges = { firstId: first ?? undefined, lastId: last ?? undefined };
  const forward = filter.after !== undefined && filter.before === undefined;
  if (first === null || last === null)
    return { events: [], older: undefined, newer: undefined, searched: { from: 0, to: -1 }, ...edges };
  const bounds = await boundsOf(context, filter, first, last);
  const { found, left } = await search(context, filter, bounds, forward);
  if (forward) {
    const newer = Math.max(left.from - 1, filter.after ?? -1);
    return {
      events: found.reverse(),
      // `after` may lie far beyond the log.
      older: bounds.from > first ? Math.min(bounds.from, last + 1) : undefined,
      newer,
      searched: { from: bounds.from, to: newer },
      ...edges,
    };
  }
  return {
    events: found,
    older: left.to >= bounds.from ? left.to + 1 : undefined,
    newer: Math.max(bounds.to, bounds.from - 1),
    searched: { from: left.to + 1, to: bounds.to },
    ...edges,
  };
}
