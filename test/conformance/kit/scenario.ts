/** Short forms of what nearly every test does to a store. */
import type {
  Committed,
  EventMeta,
  Lease,
  NotifyDisposer,
  Query,
  QueryStreams,
  Schema,
  Schemas,
  Store,
  StoreNotification,
  StreamPosition,
  SubscribeResult,
} from "@rotorsoft/act";

export type Event = Committed<Schemas, string>;
export type TestMessage = { name: string; data: Schema; pii?: Record<string, unknown> | null };

export const SNAPSHOT = "__snapshot__";
export const TOMBSTONE = "__tombstone__";

export const meta = (correlation = "test"): EventMeta => ({ correlation, causation: {} });

export const message = (name = "Tested", data: Schema = {}): TestMessage => ({ name, data });

/** Commits one event per name. */
export function append(store: Store, stream: string, ...names: string[]): Promise<Event[]> {
  return store.commit<Schemas>(
    stream,
    names.map((name) => message(name)),
    meta(),
  );
}

/** Commits one event with this payload and returns it. */
export async function appendOne(store: Store, stream: string, entry: TestMessage): Promise<Event> {
  return only(await store.commit<Schemas>(stream, [entry], meta()));
}

/** Commits this many events, with `{ n }` as payload. */
export function appendMany(store: Store, stream: string, count: number, name = "Tested"): Promise<Event[]> {
  return store.commit<Schemas>(
    stream,
    Array.from({ length: count }, (_, n) => message(name, { n })),
    meta(),
  );
}

export async function read(store: Store, query?: Query): Promise<Event[]> {
  const events: Event[] = [];
  await store.query((event) => {
    events.push(event);
  }, query);
  return events;
}

export const readStream = (store: Store, stream: string): Promise<Event[]> =>
  read(store, { stream, stream_exact: true });

/** Everything in the log, snapshots included. */
export const readAll = (store: Store): Promise<Event[]> => read(store);

export const idsOf = (events: readonly Event[]): number[] => events.map(({ id }) => id);
export const namesOf = (events: readonly Event[]): string[] => events.map(({ name }) => name);
export const streamsOf = (rows: readonly { stream: string }[]): string[] => rows.map(({ stream }) => stream);

/** The only item of a list that must have one. */
export function only<T>(items: readonly T[]): T {
  const [item] = items;
  if (items.length !== 1 || item === undefined) throw new Error(`Expected one item, got ${items.length}`);
  return item;
}

/** An item that must be there. */
export function at<T>(items: readonly T[], index: number): T {
  const item = items.at(index);
  if (item === undefined) throw new Error(`No item ${index} of ${items.length}`);
  return item;
}

export function found<T>(value: T | null | undefined, what = "value"): T {
  if (value === undefined || value === null) throw new Error(`Expected a ${what}`);
  return value;
}

/** A message that is an event once more, for `restore`. */
export function restorable(stream: string, version: number, fields: Partial<Event> = {}): Event {
  return {
    id: 0,
    stream,
    version,
    name: "Restored",
    data: {},
    meta: meta(),
    created: new Date(0),
    ...fields,
  };
}

export async function positions(store: Store, query?: QueryStreams): Promise<StreamPosition[]> {
  const rows: StreamPosition[] = [];
  await store.query_streams((row) => {
    rows.push(row);
  }, query);
  return rows;
}

export async function positionOf(store: Store, stream: string): Promise<StreamPosition> {
  return only(await positions(store, { stream, stream_exact: true }));
}

/** Subscribes with a work mark far ahead, so that the streams are claimable. */
export function pending(store: Store, ...streams: string[]): Promise<SubscribeResult> {
  return store.subscribe(streams.map((stream) => ({ stream, correlated_at: 1_000_000 })));
}

export const MINUTE = 60_000;

/** Leases everything that is claimable, for a minute unless told otherwise. */
export function claimAll(store: Store, by = "worker", millis = MINUTE, lane?: string): Promise<Lease[]> {
  return store.claim(1_000, 0, by, millis, lane);
}

/** The lease of one stream; whatever else is claimable is leased with it. */
export async function leaseOf(store: Store, stream: string, by = "worker", millis = MINUTE): Promise<Lease> {
  const leases = await claimAll(store, by, millis);
  return found(
    leases.find((lease) => lease.stream === stream),
    `lease of ${stream}`,
  );
}

/** A pending subscription that is blocked, and by nothing else out of reach: its lease has expired. */
export async function blocked(store: Store, stream: string, error = "poison", by = "worker"): Promise<Lease> {
  await pending(store, stream);
  const lease = await leaseOf(store, stream, by, 0);
  only(await store.block([{ ...lease, error }]));
  return lease;
}

type Row = { stream: string; at?: number; priority?: number; lane?: string; source?: string };

/** Claimable subscriptions at given watermarks. */
export async function arrange(store: Store, rows: readonly Row[]): Promise<void> {
  await store.subscribe(rows.map(({ at: _, ...row }) => ({ ...row, correlated_at: 1_000_000 })));
  const leases = await store.claim(rows.length * 2, 0, "arranger", MINUTE);
  const watermarks = new Map(rows.map((row) => [row.stream, row.at ?? -1]));
  const acked = await store.ack(
    leases.map((lease) => ({ ...lease, at: watermarks.get(lease.stream) ?? lease.at })),
  );
  if (acked.length !== leases.length) throw new Error("Some subscriptions could not be arranged");
}

export function restore(store: Store, events: readonly Event[]): Promise<number[]> {
  return restoreWith(store, async (insert) => {
    const ids: number[] = [];
    for (const event of events) ids.push(await insert(event));
    return ids;
  });
}

export async function restoreWith<T>(
  store: Store,
  driver: (insert: (event: Event) => Promise<number>) => Promise<T>,
): Promise<T> {
  if (!store.restore) throw new Error("The store has no restore(); declare the capability as false");
  let result: { value: T } | undefined;
  await store.restore(async (insert) => {
    result = { value: await driver(insert) };
  });
  return found(result, "call of the driver").value;
}

export async function notified(
  store: Store,
  handler: (notification: StoreNotification) => void,
): Promise<NotifyDisposer> {
  if (!store.notify) throw new Error("The store has no notify(); declare the capability as false");
  return await store.notify(handler);
}

export async function forget(store: Store, stream: string): Promise<number> {
  if (!store.forget_pii) throw new Error("The store has no forget_pii(); declare the capability as false");
  return await store.forget_pii(stream);
}

export type VerbCall = readonly [verb: string, call: () => Promise<unknown>];

/** A call of every verb that reaches the data. */
export function everyVerb(store: Store): VerbCall[] {
  const lease: Lease = { stream: "s", at: 0, by: "worker", retry: 0, lagging: true };
  const calls: VerbCall[] = [
    ["commit", () => append(store, "s", "Tested")],
    ["query", () => read(store)],
    ["claim", () => store.claim(1, 1, "worker", 1_000)],
    ["subscribe", () => store.subscribe([{ stream: "s" }])],
    ["ack", () => store.ack([lease])],
    ["block", () => store.block([{ ...lease, error: "e" }])],
    ["defer", () => store.defer(["s"], 1)],
    ["reset", () => store.reset(["s"])],
    ["unblock", () => store.unblock(["s"])],
    ["prioritize", () => store.prioritize({ stream: "s" }, 1)],
    ["truncate", () => store.truncate([{ stream: "s" }])],
    ["query_streams", () => positions(store)],
    ["query_stats", () => store.query_stats(["s"])],
  ];
  if (store.restore) calls.push(["restore", () => restore(store, [restorable("s", 0)])]);
  if (store.forget_pii) calls.push(["forget_pii", () => forget(store, "s")]);
  return calls;
}
