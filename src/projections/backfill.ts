/**
 * backfill(): lets new reactions and projections of an app process the events that are in the log already.
 *
 * Act subscribes a static target when the app starts, and a dynamic one when an event resolves to it. It looks only
 * at events past the checkpoint of the correlation. So a new static target has a row without a work mark, and a new
 * dynamic target gets a row only with its next event. backfill() reads the older events too, subscribes every target
 * that one resolves to, and raises each work mark to the last event for the target. A work mark never goes down and a
 * row is never made twice, so backfill() may run repeatedly, beside workers, and in several processes at once. It
 * does not change the checkpoint.
 */
import { randomUUID } from "node:crypto";
import { DEFAULT_LANE, type SubscribeInput } from "@rotorsoft/act";
import type { PostgresStore } from "../store.ts";
import { ANY, FUNCTION, type Rules, SIGNAL } from "../values/rules.ts";
import { badInput, checkInput } from "./errors.ts";
import { LogConnection } from "./log-connection.ts";
import {
  type App,
  bySource,
  inSource,
  type Reaction,
  reactionsOf,
  resolve,
  type StoredEvent,
  type Target,
} from "./reactions.ts";

const PAGE = 1_000;

/** The progress of a backfill. */
export type BackfillProgress = {
  /** The id up to which the log has been read. */
  readonly at: number;
  /** The id up to which it will be read: the end of the log at the start. */
  readonly head: number;
  /** Events read so far to find the targets of reactions with dynamic targets. */
  readonly events: number;
  /** Targets found so far. */
  readonly targets: number;
};

/** The app to backfill, and options to follow and stop the backfill. */
export type BackfillOptions = {
  /** The app with the new reactions. It need not run. */
  readonly app: App;
  readonly store: PostgresStore;
  /** Called after each page of the log. In the last call `at` equals `head`. */
  readonly onProgress?: ((progress: BackfillProgress) => void) | undefined;
  /** Stops it between two pages. Subscriptions that were made stay; run it again to go on. */
  readonly signal?: AbortSignal | undefined;
};

/** The result of a backfill. */
export type BackfillResult = {
  /** Events read, as in {@link BackfillProgress}. */
  readonly events: number;
  /** Targets that have events in the log. */
  readonly targets: number;
  /** How many of these targets had no subscription before. */
  readonly subscribed: number;
};

type Entry = SubscribeInput & { readonly priority: number; readonly correlated_at: number };

/** Merges the subscriptions that several events give one target: the highest mark, and the lane of the highest priority. */
function add(entries: Map<string, Entry>, lanes: ReadonlySet<string>, id: number, to: Target): void {
  const { target: stream, source, priority = 0 } = to;
  // No worker claims from a lane that is not declared, so such a target goes into the default lane, as in Act.
  const lane = to.lane !== undefined && lanes.has(to.lane) ? to.lane : undefined;
  const known = entries.get(stream);
  const kept = known && known.priority >= priority ? known : { stream, source, priority, lane };
  // Static reactions report their last events in no fixed order, so the highest id counts.
  const correlated_at = Math.max(id, known?.correlated_at ?? -1);
  entries.set(stream, { ...kept, source: known ? known.source : source, correlated_at });
}

const RULES: Rules<BackfillOptions> = { app: ANY, store: ANY, onProgress: FUNCTION, signal: SIGNAL };

function check(options: BackfillOptions): void {
  checkInput("backfill", options, RULES);
  const { app, store } = options;
  if (typeof app?.registry?.events !== "object")
    throw badInput("backfill: app must be what act()…build() returns.");
  if (typeof store?.subscribe !== "function" || typeof store.config?.table !== "string")
    throw badInput("backfill: store must be the PostgresStore of the app.");
}

async function headOf(store: PostgresStore): Promise<number> {
  let head = -1;
  await store.query(
    ({ id }) => {
      head = id;
    },
    { backward: true, limit: 1, with_snaps: true },
  );
  return head;
}

/** Finds the last event for each static target, by one index look-up per target. */
async function markStatic(
  store: PostgresStore,
  reactions: readonly Reaction[],
  found: (event: StoredEvent, to: Target) => void,
): Promise<void> {
  const targets = Map.groupBy(
    reactions.filter(({ resolver }) => typeof resolver !== "function"),
    ({ resolver }) => JSON.stringify(resolver),
  );
  for (const same of targets.values()) {
    const [first] = same;
    if (!first || typeof first.resolver === "function") continue;
    const { resolver } = first;
    const names = same.map(({ event }) => event);
    await store.query((event) => found(event, resolver), {
      ...bySource(resolver.source),
      names,
      backward: true,
      limit: 1,
    });
  }
}

/**
 * Looks for the targets that have events in the log, subscribes each, and sets its work mark to the last of its
 * events. Workers that listen (`notify: true`) are woken and process the history at their own pace, oldest first;
 * others find it with their next event or start.
 *
 * Events that a target has handled are not delivered to it again: a reaction that is added to an existing target begins
 * with the next event. Give such a reaction its own target, or `reset` the target.
 *
 * @throws ProjectionError if an argument is invalid; StoreError if the database fails; the signal's reason.
 * @example
 * ```ts
 * await backfill({ app, store, onProgress: ({ at, head }) => console.log(`${at} of ${head}`) });
 * ```
 */
export async function backfill(options: BackfillOptions): Promise<BackfillResult> {
  check(options);
  const { app, store, onProgress, signal } = options;
  const reactions = reactionsOf(app);
  const dynamic = Map.groupBy(
    reactions.filter(({ resolver }) => typeof resolver === "function"),
    ({ event }) => event,
  );
  const lanes = new Set([DEFAULT_LANE, ...app.lanes.map(({ name }) => name)]);
  const seen = new Set<string>();
  let subscribed = 0;
  let last: StoredEvent | undefined;
  const found = (entries: Map<string, Entry>, event: StoredEvent, to: Target) => {
    if (!inSource(to.source, event.stream)) return;
    add(entries, lanes, event.id, to);
    if (!last || event.id > last.id) last = event;
  };
  const subscribe = async (entries: Map<string, Entry>) => {
    if (entries.size === 0) return;
    subscribed += (await store.subscribe([...entries.values()])).subscribed;
    for (const stream of entries.keys()) seen.add(stream);
  };

  const head = await headOf(store);
  const statics = new Map<string, Entry>();
  signal?.throwIfAborted();
  await markStatic(store, reactions, (event, to) => found(statics, event, to));
  await subscribe(statics);

  let events = 0;
  let at = dynamic.size > 0 ? -1 : head;
  const names = [...dynamic.keys()];
  while (at < head) {
    signal?.throwIfAborted();
    const page: StoredEvent[] = [];
    // The app's own correlation handles the events past the head.
    await store.query((event) => void page.push(event), { names, after: at, before: head + 1, limit: PAGE });
    const entries = new Map<string, Entry>();
    for (const event of page)
      for (const reaction of dynamic.get(event.name) ?? []) {
        const to = resolve(reaction, event);
        if (to) found(entries, event, to);
      }
    await subscribe(entries);
    events += page.length;
    at = page.length < PAGE ? head : (page.at(-1)?.id ?? head);
    await onProgress?.({ at, head, events, targets: seen.size });
  }
  if (names.length === 0 || head < 0) await onProgress?.({ at, head, events, targets: seen.size });
  if (last && store.config.notify) await wake(store, last);
  return { events, targets: seen.size, subscribed };
}

/** Workers drain when they are notified of an event that they react to. So this notifies them of the last one again. */
async function wake(store: PostgresStore, { stream, id, name }: StoredEvent): Promise<void> {
  const connection = new LogConnection(store);
  try {
    const payload = { stream, events: [{ id, name }], by: randomUUID() };
    await connection.notify(connection.names.channel, JSON.stringify(payload));
  } catch {
    // The notification is only a hint: workers also find the subscriptions with their next event or poll.
  } finally {
    await connection.close();
  }
}
