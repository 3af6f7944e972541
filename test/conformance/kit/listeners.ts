/** Listening stores, and what ends or keeps out their connections. */
import type { Store, StoreNotification } from "@rotorsoft/act";
import { eventually } from "./eventually.ts";
import { type Backend, backendsOf, channelOf } from "./postgres.ts";
import { append, notified } from "./scenario.ts";
import type { DatabaseFixture, RawAccess } from "./section.ts";

/** Subscribes and keeps what is received. */
export async function subscribed(store: Store) {
  const received: StoreNotification[] = [];
  const dispose = await notified(store, (notification) => received.push(notification));
  return { received, dispose, streams: () => received.map(({ stream }) => stream) };
}

/** Commits to a marker stream until it is received: what was sent before has then arrived too. */
export async function settled(
  other: Store,
  { streams }: { streams(): string[] },
  marker = "marker",
): Promise<void> {
  await append(other, marker, "Marker");
  await eventually(() => streams().includes(marker));
}

export const send = (raw: RawAccess, payload: string) =>
  raw.sql`select pg_notify(${channelOf(raw)}, ${payload})`;
export const listenersOf = async (raw: RawAccess): Promise<Backend[]> =>
  (await backendsOf(raw, raw.table)).filter(({ query }) => /^\s*listen/i.test(query));

/** Ends the connection that listens, and returns once it is gone. */
export async function killListeners({ raw }: DatabaseFixture): Promise<void> {
  const listener = await eventually(async () => (await listenersOf(raw))[0]);
  await raw.sql`select pg_terminate_backend(${listener.pid}::int, 5000)`;
}

/** Lets nobody else into the database, or everybody again. Only another database may say so. */
export function doorOf(raw: RawAccess): (open: boolean) => Promise<void> {
  const elsewhere = new URL(raw.url);
  const name = decodeURIComponent(elsewhere.pathname.slice(1));
  elsewhere.pathname = "/template1";
  const admin = raw.connect(elsewhere.href);
  return async (open) => {
    await admin`alter database ${admin(name)} with allow_connections ${admin.unsafe(`${open}`)}`;
  };
}
