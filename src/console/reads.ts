/** Reads what the console's views show of a store, in the form that the page gets. */
import { msBetween } from "../admin/bounded.ts";
import type { Admin, EventView } from "../admin/index.ts";
import { datePaths } from "../values/json-dates.ts";
import type {
  EventDetail,
  Overview,
  Reaction,
  Sent,
  StreamDetail,
  Tenant,
  Trace,
  TraceEvent,
  VersionDetail,
} from "./api.ts";
import type { Opened } from "./databases.ts";
import { ConsoleError, failureOf } from "./failures.ts";

/** A value after JSON. Only here the types of the server become those of the page. */
export const sent = <T>(value: T): Sent<T> => JSON.parse(JSON.stringify(value)) as Sent<T>;

const BEHIND = 20;
const LEASES = 50;
/** Window of the present rate, in ms. */
const NOW = 10_000;

export async function overviewOf(admin: Admin, listener: Overview["listener"]): Promise<Overview> {
  const start = performance.now();
  const overview = await admin.overview();
  const latencyMs = performance.now() - start;
  const [now, minute, behind, blocked, leases, correlators, appendLock, connections] = await Promise.all([
    admin.growth({ windowMs: NOW }),
    admin.growth(),
    admin.subscriptions({ state: "behind", sort: "at", limit: BEHIND }),
    admin.subscriptions({ state: "blocked", limit: BEHIND }),
    admin.leases({ limit: LEASES }),
    admin.correlators(),
    admin.appendLock(),
    admin.connections(),
  ]);
  const lags = behind.subscriptions.flatMap(({ lagMs }) => lagMs ?? []);
  return sent({
    at: new Date(),
    overview,
    rate: { now, minute },
    oldestLagMs: lags.length > 0 ? Math.max(...lags) : undefined,
    behind: behind.subscriptions,
    blocked: blocked.subscriptions,
    leases,
    correlators,
    appendLock,
    connections,
    listener,
    latencyMs,
  }) as Overview;
}

export async function tenantOf({ info, admin }: Opened): Promise<Tenant> {
  const unread = {
    estimate: undefined,
    lastId: undefined,
    lastCreated: undefined,
    behind: undefined,
    blocked: undefined,
  };
  try {
    const { events, subscriptions } = await admin.overview();
    const { estimate, lastId, lastCreated } = events;
    const { behind, blocked } = subscriptions;
    return {
      ...{ store: info, problem: undefined, estimate, lastId, behind, blocked },
      lastCreated: lastCreated?.toISOString(),
    };
  } catch (error) {
    return {
      store: info,
      problem: failureOf(error).body.error.message,
      ...unread,
    };
  }
}

export async function eventOf(admin: Admin, id: number): Promise<EventDetail> {
  const event = await admin.event(id);
  if (!event) throw new ConsoleError("not-found", `The log does not hold event ${id}.`);
  const { cause, ...rest } = await admin.relations(event);
  return sent({
    event,
    dates: datePaths(event.data) ?? [],
    cause,
    causeGone: event.cause !== undefined && cause === undefined,
    ...rest,
  }) as EventDetail;
}

export async function versionOf(admin: Admin, stream: string, version: number): Promise<VersionDetail> {
  const [event] = await admin.versions(stream, { from: version, to: version, limit: 1 });
  if (!event)
    throw new ConsoleError("not-found", `The stream ${JSON.stringify(stream)} has no version ${version}.`);
  return sent({ event, dates: datePaths(event.data) ?? [] }) as VersionDetail;
}

export async function streamOf(
  admin: Admin,
  stream: string,
  page: { readonly before: number | undefined; readonly limit: number; readonly payload: boolean },
): Promise<StreamDetail> {
  const [view, { readers, cut }] = await Promise.all([
    admin.stream(stream, { ...page, readers: false }),
    admin.readers(stream),
  ]);
  const { head, events, snapshot, firstVersion, closed, history } = view;
  const [first] =
    firstVersion === undefined ? [] : await admin.versions(stream, { from: firstVersion, to: firstVersion });
  const full = history.length === page.limit;
  return sent({
    ...{ stream, head, events, snapshot, firstVersion, closed, history },
    truncated: (firstVersion ?? 0) > 0 || first?.name === "__snapshot__" || first?.name === "__tombstone__",
    older: full && history.at(-1)?.version !== firstVersion ? history.at(-1)?.id : undefined,
    readers,
    readersCut: cut,
  }) as StreamDetail;
}

/** Every event of the correlation with its place in the tree. A cause has a lower id than its effects. */
function traceEvents(events: readonly EventView[]): TraceEvent[] {
  const placed = new Map<
    number,
    { readonly event: EventView; readonly depth: number; readonly parent: number | undefined }
  >();
  const first = events[0];
  const loopsOf = (event: EventView, parent: number | undefined): number => {
    let found = 0;
    for (let at = parent; at !== undefined; at = placed.get(at)?.parent) {
      const above = placed.get(at)?.event;
      if (above?.name === event.name && above.stream === event.stream) found++;
    }
    return found;
  };
  return events.map((event) => {
    const above = event.cause && placed.get(event.cause.id);
    const place = { event, depth: (above?.depth ?? 0) + 1, parent: above?.event.id };
    placed.set(event.id, place);
    return {
      ...(sent(event) as Sent<EventView>),
      parent: place.parent,
      depth: place.depth,
      afterMs: above && msBetween(above.event.created, event.created),
      offsetMs: first ? msBetween(first.created, event.created) : 0,
      loop: loopsOf(event, place.parent),
    };
  });
}

export async function traceOf(admin: Admin, correlation: string, limit: number): Promise<Trace> {
  const found = await admin.events({ correlation, forward: true, limit: limit + 1 });
  if (found.length === 0)
    throw new ConsoleError("not-found", `No event has correlation ${JSON.stringify(correlation)}.`);
  const events = traceEvents(found.slice(0, limit));
  return {
    correlation,
    events,
    streams: [...new Set(events.map(({ stream }) => stream))],
    cut: found.length > limit,
    durationMs: events.at(-1)?.offsetMs ?? 0,
    depth: Math.max(...events.map(({ depth }) => depth)),
  };
}

export async function reactionOf(admin: Admin, stream: string) {
  const { subscriptions } = await admin.subscriptions({ streams: [stream], limit: 1 });
  const [reaction] = subscriptions;
  if (!reaction) throw new ConsoleError("not-found", `There is no subscription ${JSON.stringify(stream)}.`);
  return { reaction: sent(reaction) as Reaction, skipped: sent(await admin.skipped({ stream })) };
}
