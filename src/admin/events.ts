/** Events for a person to read: newest first, without personal data, the payload only on request. */
import type { Query as ActQuery } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";
import { pageQuery } from "../events/page-query.ts";
import type { Query, Row } from "../postgres/index.ts";
import type { Event } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import {
  checkArgument,
  checkGiven,
  DATE,
  FLAG,
  ID,
  LIMIT,
  type Rules,
  TEXT,
  TEXTS,
} from "../values/rules.ts";
import type { EventRef } from "./next-events.ts";

/** Filters for the events to show. An event must match every filter that is given. */
export type EventFilter = {
  /** Name of a stream, or a pattern as for `query`. */
  readonly stream?: string | undefined;
  /** `stream` is a name and no pattern. */
  readonly streamExact?: boolean | undefined;
  readonly names?: readonly string[] | undefined;
  readonly correlation?: string | undefined;
  /** Exclusive bounds of the id. */
  readonly after?: number | undefined;
  readonly before?: number | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  /** Oldest first. Default: newest first. */
  readonly forward?: boolean | undefined;
  /** Events at most. Default 50. */
  readonly limit?: number | undefined;
  /** With `data`. Default false: its keys only. */
  readonly payload?: boolean | undefined;
};

/** An event for a person to read. Personal data is never part of it. */
export type EventView = EventRef & {
  /** Empty for an event that was written without one, by other means than the framework. */
  readonly correlation: string;
  /** Who acted, where the framework recorded it. */
  readonly actor: string | undefined;
  /** The action that committed the event, where the framework recorded it. */
  readonly action: string | undefined;
  /** The event that caused this one: a reaction committed it. */
  readonly cause: { readonly id: number; readonly stream: string; readonly name: string } | undefined;
  /** The keys of `data`, in the order of jsonb, so that one sees what an event is about without its content. */
  readonly keys: readonly string[];
  /** Undefined unless `payload` was asked for. */
  readonly data: unknown;
  /** It has personal data, which is never shown here. */
  readonly personal: boolean;
};

const DEFAULT_LIMIT = 50;
export const EVENT_RULES: Rules<EventFilter> = {
  stream: TEXT,
  streamExact: FLAG,
  names: TEXTS,
  correlation: TEXT,
  after: ID,
  before: ID,
  createdAfter: DATE,
  createdBefore: DATE,
  forward: FLAG,
  limit: LIMIT,
  payload: FLAG,
};

const toActQuery = (filter: EventFilter): ActQuery => ({
  stream: filter.stream,
  stream_exact: filter.streamExact,
  names: filter.names && [...filter.names],
  correlation: filter.correlation,
  with_snaps: true,
  created_after: filter.createdAfter,
  created_before: filter.createdBefore,
  backward: !filter.forward,
});

/** The columns for an {@link EventView}, of a page `q` of events. They tell whether there is personal data, but not what. */
export const VIEW_COLUMNS =
  "q.id, q.name, q.stream, q.version, q.created, q.data, q.meta, q.dates, q.pii is not null as personal";

/** The page that query() would read, without personal data, which does not leave the server. */
export function eventsQuery(names: Names, filter: EventFilter): Query {
  // Without `after`, a query of one stream with its snapshots would begin at the newest of them, as a load does.
  const { after = -1, before, limit = DEFAULT_LIMIT, forward } = filter;
  const page = pageQuery(names, toActQuery(filter), { after, before }, limit);
  return {
    text: `select ${VIEW_COLUMNS}
from (${page.text}) q order by q.id${forward ? "" : " desc"}`,
    ...(page.params && { params: page.params }),
  };
}

const keysOf = (data: unknown): string[] =>
  typeof data === "object" && data !== null && !Array.isArray(data) ? Object.keys(data) : [];

function toView(
  event: Event,
  { personal, payload }: { readonly personal: boolean; readonly payload: boolean },
): EventView {
  const { id, stream, version, name, created, data } = event;
  // An import, or SQL, may have left out what the framework always writes.
  const meta: Partial<Event["meta"]> | null = event.meta;
  const { action, event: cause } = meta?.causation ?? {};
  return {
    id,
    stream,
    version,
    name,
    created,
    correlation: meta?.correlation ?? "",
    actor: action?.actor?.name ?? action?.actor?.id,
    action: action?.name,
    cause: cause ? { id: cause.id, stream: cause.stream, name: cause.name } : undefined,
    keys: keysOf(data),
    data: payload ? data : undefined,
    personal,
  };
}

/** Rows with {@link VIEW_COLUMNS} as views. `payload`: with `data`. */
export async function viewsOf(
  { reader }: Context,
  rows: readonly Row[],
  payload: boolean,
): Promise<EventView[]> {
  const decode = await guard("admin", () => reader.forRows(rows));
  return rows.map((row) => toView(decode(row), { personal: row.personal === true, payload }));
}

export async function events(context: Context, filter: EventFilter = {}): Promise<EventView[]> {
  checkGiven("events", filter, EVENT_RULES);
  const rows = await context.connections.read("admin", eventsQuery(context.names, filter));
  return viewsOf(context, rows, filter.payload === true);
}

/** One event with its payload; undefined if the log does not hold it. */
export async function event(context: Context, id: number): Promise<EventView | undefined> {
  checkArgument("event", "id", id, ID);
  // Without `before`, because `id + 1` is no safe integer for the highest id. Nor is `id - 1` for the lowest.
  const after = Math.max(id - 1, Number.MIN_SAFE_INTEGER);
  const [found] = await events(context, { after, forward: true, limit: 1, payload: true });
  return found?.id === id ? found : undefined;
}
