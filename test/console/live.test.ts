/** What is live: the overview, the log under load, and a database that goes away and comes back. */
import { once } from "node:events";
import { createServer, type Socket, connect as toServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { Connection, EventView, LogEvents, Overview } from "../../src/console/api.ts";
import type { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { brokenStore, Client, type Sse, startOn } from "./fixture.ts";

const fixture = useDatabase();
const meta = { correlation: "live", causation: {} };

type Batch = LogEvents["events"];
const isBatch = (sse: Sse): sse is Sse & { readonly data: Batch } => sse.event === "events";

/** The first event that `matches`. */
async function first<T>(
  stream: AsyncGenerator<Sse, void>,
  name: string,
  matches: (data: T) => boolean,
): Promise<T> {
  for (;;) {
    const { value } = await stream.next();
    if (!value) throw new Error(`The stream ended without ${name}`);
    if (value.event === name && matches(value.data as T)) return value.data as T;
  }
}

test("the tail shows each event of 1,000 commits in one second, in order, in few messages", async () => {
  const store = await fixture.seeded({ notify: true });
  const client = await Client.of(await startOn(fixture, store));
  const tail = client.live("/api/log/live");
  await tail.next();
  const commits = Promise.all(
    Array.from({ length: 1_000 }, (_, n) =>
      store.commit(`s-${n % 50}`, [{ name: "Happened", data: { n } }], meta),
    ),
  );
  const ids: number[] = [];
  let messages = 0;
  for await (const sse of tail) {
    if (!isBatch(sse)) continue;
    messages++;
    ids.push(...sse.data.events.map(({ id }) => id));
    expect(sse.id).toBe(String(sse.data.position));
    if (ids.length === 1_000) break;
  }
  await commits;
  expect(new Set(ids).size).toBe(1_000);
  expect(ids).toEqual(ids.toSorted((one, other) => one - other));
  expect(messages).toBeLessThan(100);
});

test("a commit is shown soon after its notification, not at the next look", async () => {
  const store = await fixture.seeded({ notify: true });
  const client = await Client.of(await startOn(fixture, store));
  const tail = client.live("/api/log/live");
  await tail.next();
  const { state } = await first<Overview>(
    client.live("/api/live"),
    "overview",
    ({ listener }) => listener.state !== "off",
  ).then(({ listener }) => listener);
  expect(state).toBe("listening");
  await store.commit("s", [{ name: "Happened", data: {} }], meta);
  const { events } = await first<Batch>(tail, "events", ({ events: found }) => found.length > 0);
  expect(events.map(({ name }) => name)).toEqual(["Happened"]);
  await tail.return();
});

test("a filter of the tail leaves the others out, and goes on behind them", async () => {
  const { store, last } = await brokenStore(fixture);
  const client = await Client.of(await startOn(fixture, store));
  const tail = client.live(`/api/log/live?after=0&name=OrderShipped&stream=%5Eorder-&payload=1`);
  const { events, position } = await first<Batch>(tail, "events", () => true);
  expect(events.map(({ stream, data }: EventView) => [stream, typeof data])).toEqual(
    [1, 2, 3, 4].map((n) => [`order-${n}`, "object"]),
  );
  expect(position).toBe(last);
  await tail.return();
});

test("a browser that comes back goes on behind the last event it has seen", async () => {
  const { store, last } = await brokenStore(fixture);
  const client = await Client.of(await startOn(fixture, store));
  const again = client.live("/api/log/live?after=0", { "last-event-id": String(last - 2) });
  const { events } = await first<Batch>(again, "events", ({ events: found }) => found.length > 0);
  expect(events.map(({ id }) => id)).toEqual([last - 1, last]);
  await again.return();
});

test("a tail that is far behind says which events it leaves out, and goes on with the newest", async () => {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`insert into "${schema}"."${table}" (stream, version, name, data, meta, dates)
    select 's', g, 'Happened', '{}', '{"correlation": "c", "causation": {}}', '{}' from generate_series(0, 19999) g`);
  const client = await Client.of(await startOn(fixture, store));
  const tail = client.live("/api/log/live?after=0");
  const gap = await first<LogEvents["gap"]>(tail, "gap", () => true);
  expect(gap).toEqual({ after: 500, upTo: 19_500 });
  const { events } = await first<Batch>(tail, "events", () => true);
  expect([events[0]?.id, events.at(-1)?.id]).toEqual([19_501, 20_000]);
  await tail.return();
});

test("the overview comes again and again, and is read once for all who look", async () => {
  const { store } = await brokenStore(fixture);
  const client = await Client.of(await startOn(fixture, store));
  const [one, other] = [client.live("/api/live"), client.live("/api/live")];
  const next = (stream: typeof one) => first<Overview>(stream, "overview", () => true);
  const [mine, yours] = await Promise.all([next(one), next(other)]);
  expect(mine.at).toBe(yours.at);
  expect(Date.parse((await next(one)).at)).toBeGreaterThan(Date.parse(mine.at));
  await Promise.all([one.return(), other.return()]);
});

/** A way to the server that can be cut. */
async function cable({ host, port }: { host: string; port: number }) {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = toServer(port, host);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const listen = async (on: number) => {
    server.listen(on, "127.0.0.1");
    await once(server, "listening");
  };
  await listen(0);
  const address = server.address();
  if (typeof address !== "object" || !address) throw new Error("no address");
  const cut = async () => {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  onTestFinished(async () => {
    if (server.listening) await cut();
  });
  return { port: address.port, cut, mend: () => listen(address.port) };
}

test("a server that goes away and comes back is told to the page, and nothing is missed", async () => {
  const store: PostgresStore = await fixture.seeded({ notify: true });
  const { schema, table } = store.config;
  const { port, cut, mend } = await cable(fixture.parts);
  const client = await Client.of(
    await startOn(fixture, store, {
      databases: [{ ...fixture.parts, host: "127.0.0.1", port, schema, table, connectionTimeoutMillis: 500 }],
    }),
  );
  const tail = client.live("/api/log/live");
  const live = client.live("/api/live");
  await Promise.all([tail.next(), live.next()]);
  await cut();
  const gone = await first<Connection>(tail, "connection", () => true);
  expect(gone.connected).toBe(false);
  expect(gone.message).toMatch(/\w/);
  expect(await first<Connection>(live, "connection", () => true)).toMatchObject({ connected: false });
  const { status, body } = await client.ask("/api/log");
  expect([status, body.error?.code]).toEqual([503, "unreachable"]);
  expect((await client.get("/api/session")).defaultStore).toBe(`${schema}.${table}`);
  await store.commit("s", [{ name: "Meanwhile", data: {} }], meta);
  await mend();
  expect(await first<Connection>(tail, "connection", () => true)).toEqual({ connected: true });
  const { events } = await first<Batch>(tail, "events", ({ events: found }) => found.length > 0);
  expect(events.map(({ name }) => name)).toEqual(["Meanwhile"]);
  expect(await first<Connection>(live, "connection", () => true)).toEqual({ connected: true });
  expect((await client.get("/api/log")).events.map(({ name }) => name)).toEqual(["Meanwhile"]);
  await Promise.all([tail.return(), live.return()]);
});

test("more live views than there should be are refused with what to do, and closed ones make room", async () => {
  const store = await fixture.seeded();
  const client = await Client.of(await startOn(fixture, store));
  const open = Array.from({ length: 24 }, () => client.live("/api/log/live"));
  await Promise.all(open.map((each) => each.next()));
  const { status, body } = await client.ask("/api/live");
  expect([status, body.error?.code]).toEqual([429, "too-many"]);
  await Promise.all(open.map((each) => each.return()));
  await expect.poll(async () => (await client.live("/api/log/live").next()).done ?? false).toBe(false);
});
