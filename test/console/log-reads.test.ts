/** What the log, an event, a stream and a trace get, with a role that may only read. */
import { describe, expect, test } from "vitest";
import type { ConsoleOptions } from "../../src/console/start.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { Client, openBroken, startOn } from "./fixture.ts";

const fixture = useDatabase();
const opened = (options?: Partial<ConsoleOptions>) => openBroken(fixture, options);

describe("the log", () => {
  test("is turned page by page to its beginning and back, and no event is lost", async () => {
    const { client, last } = await opened();
    const ids: number[] = [];
    let page = await client.get("/api/log", { limit: 7 });
    for (;;) {
      ids.push(...page.events.map(({ id }) => id));
      if (page.older === undefined) break;
      page = await client.get("/api/log", { limit: 7, before: page.older });
    }
    expect(ids[0]).toBe(last);
    expect(ids).toEqual(ids.toSorted((one, other) => other - one));
    const forward: number[] = [];
    for (let after = 0; after < last; ) {
      const next = await client.get("/api/log", { limit: 7, after });
      forward.push(...next.events.map(({ id }) => id).toReversed());
      after = next.newer ?? last;
    }
    expect(forward).toEqual(ids.toReversed());
  });

  test.each([
    [{ stream: "^order-" }, 17],
    [{ stream: "order-1", exact: "1" }, 3],
    [{ name: "OrderPaid" }, 6],
    [{ correlation: "place-2" }, 5],
    [{ actor: "Ada" }, 12],
    [{ actor: "7" }, 12],
    [{ actor: "Ada", stream: "^counter" }, 7],
    [{ actor: "Ada", name: "OrderPlaced" }, 2],
    [{ actor: "Ada", correlation: "place-3", stream: "order-3", exact: "1" }, 1],
    [{ actor: "nobody" }, 0],
    [{ stream: "ledger" }, 3],
    [{ stream: "^order-", name: "OrderShipped", correlation: "place-3" }, 1],
    [{ since: "2020-01-01T00:00:00Z", name: "OrderPaid" }, 6],
    [{ until: "2020-01-01T00:00:00Z" }, 0],
    [{ since: "2120-01-01T00:00:00Z" }, 0],
  ])("filtered by %o has %i events", async (filter, count) => {
    const { client } = await opened();
    const { events, older } = await client.get("/api/log", { ...filter, limit: 500 });
    expect(events).toHaveLength(count);
    expect(older).toBeUndefined();
  });

  test("between two times has the events of that time, to the millisecond", async () => {
    const { client, store } = await opened();
    const { schema, table } = store.config;
    await fixture.sql.unsafe(
      `update "${schema}"."${table}" set created = timestamptz '2026-01-01Z' + id * interval '1 second'`,
    );
    const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
    const { events } = await client.get("/api/log", { since: at(10), until: at(14) });
    expect(events.map(({ id }) => id)).toEqual([13, 12, 11]);
  });

  test("shows no data unless it is asked for", async () => {
    const { client } = await opened();
    const find = async (payload?: "1") =>
      (await client.get("/api/log", { name: "OrderPlaced", limit: 1, payload })).events[0];
    expect(await find()).toMatchObject({ keys: ["lines", "total"], personal: true });
    expect(await find()).not.toHaveProperty("data");
    expect(await find("1")).toMatchObject({ data: { total: 600 } });
  });

  test("after an id far beyond its end has nothing newer, and the page before it is the newest", async () => {
    const { client, last } = await opened();
    const page = await client.get("/api/log", { after: Number.MAX_SAFE_INTEGER });
    expect(page).toMatchObject({ events: [], older: last + 1 });
    const { events } = await client.get("/api/log", { before: page.older, limit: 1 });
    expect(events.map(({ id }) => id)).toEqual([last]);
  });

  test("that is empty has no page before and none after", async () => {
    const store = await fixture.seeded();
    const client = await Client.of(await startOn(fixture, store));
    expect(await client.get("/api/log")).toEqual({ events: [], searched: { from: 0, to: -1 } });
  });
});

describe("an event", () => {
  test("has its cause, its effects, its neighbours, and the places of its Dates", async () => {
    const { client, poison } = await opened();
    const shipped = await client.get("/api/event/:id", {}, poison);
    expect(shipped).toMatchObject({
      ...{ dates: [["due"]], causeGone: false, effects: [], effectsCut: false },
      cause: { name: "OrderPaid", stream: "order-3" },
      previous: { name: "OrderPaid", version: 1 },
      event: { data: { carrier: "post", due: "2026-01-03T00:00:00.000Z" } },
    });
    expect(shipped.next).toBeUndefined();
    const placed = await client.get("/api/event/:id", {}, 1);
    expect(placed.effects.map(({ name }) => name)).toEqual(["StockReserved", "MailQueued"]);
  });

  test("whose cause was deleted says so", async () => {
    const { client, store } = await opened();
    await fixture.sql.unsafe(`delete from "${store.config.schema}"."${store.config.table}" where id = 1`);
    expect(await client.get("/api/event/:id", {}, 2)).toMatchObject({ causeGone: true });
    expect((await client.ask("/api/event/1")).status).toBe(404);
  });

  test("whose personal data is encrypted says that the console has no key", async () => {
    const key = new Uint8Array(32).fill(7);
    const store = await fixture.seeded({ pii_encryption: { key } });
    const meta = { correlation: "c", causation: {} };
    await store.commit("s", [{ name: "Named", data: {}, pii: { name: "secret" } }], meta);
    const client = await Client.of(await startOn(fixture, store));
    const { body } = await client.post("/api/reveal", { id: 1 });
    expect(body).toEqual({ dates: [], encrypted: true });
  });
});

describe("a stream", () => {
  test("shows its snapshots, what was truncated, and that it was closed", async () => {
    const { client } = await opened();
    expect(await client.get("/api/stream", { stream: "ledger-1" })).toMatchObject({
      ...{ truncated: true, closed: false, firstVersion: 10 },
      ...{ snapshot: { version: 10 }, head: { version: 12 }, events: { count: 3, exact: true } },
    });
    expect(await client.get("/api/stream", { stream: "counter-1" })).toMatchObject({
      ...{ truncated: false, firstVersion: 0, snapshot: { version: 10 } },
    });
    expect(await client.get("/api/stream", { stream: "order-6" })).toMatchObject({ closed: true });
    expect(await client.get("/api/stream", { stream: "nobody" })).toMatchObject({
      ...{ events: { count: 0 }, history: [], truncated: false },
    });
  });

  test("is read page by page to its first event", async () => {
    const { client } = await opened();
    const first = await client.get("/api/stream", { stream: "counter-1", limit: 8 });
    expect(first.history.map(({ version }) => version)).toEqual([12, 11, 10, 9, 8, 7, 6, 5]);
    const rest = await client.get("/api/stream", { stream: "counter-1", limit: 8, before: first.older });
    expect(rest.history.map(({ version }) => version)).toEqual([4, 3, 2, 1, 0]);
    expect(rest.older).toBeUndefined();
  });

  test("names those who read it, by name, by pattern and without a source, and how much waits", async () => {
    const { client } = await opened();
    const { readers, readersCut } = await client.get("/api/stream", { stream: "order-2" });
    expect(readers.map(({ stream, kind, waiting }) => [stream, kind, waiting.count])).toEqual([
      ["audit", "all", 0],
      ["everything", "all", 3],
      ["invoices", "stream", 3],
      ["mailer", "pattern", 0],
      ["report", "pattern", 3],
    ]);
    expect(readersCut).toBe(false);
  });

  test("is found by the beginning of its name", async () => {
    const { client } = await opened();
    expect(await client.get("/api/streams", { prefix: "order-", limit: 2 })).toEqual({
      streams: ["order-1", "order-2"],
      next: "order-2",
    });
    const rest = await client.get("/api/streams", { prefix: "order-", limit: 20, after: "order-2" });
    expect(rest).toEqual({ streams: ["order-3", "order-4", "order-5", "order-6"] });
    expect((await client.get("/api/streams")).streams[0]).toBe("counter-1");
  });

  test("is folded into the app's state at any version, from the snapshot before it", async () => {
    const { client } = await opened();
    const at = (stream: string, version: number) => client.get("/api/stream/state", { stream, version });
    expect(await at("counter-1", 3)).toEqual({
      ...{ stream: "counter-1", version: 3, name: "Counter", state: { count: 10 }, patches: 4, cut: false },
    });
    expect(await at("counter-1", 12)).toMatchObject({
      state: { count: 74 },
      patches: 2,
      fromSnapshot: 10,
    });
    expect(await at("ledger-1", 11)).toMatchObject({ name: "Counter", fromSnapshot: 10, patches: 1 });
    expect(await at("order-1", 2)).toMatchObject({
      name: "Order",
      state: { status: "shipped", total: 100, due: "2026-01-01T00:00:00.000Z" },
    });
    const none = await client.ask("/api/stream/state?stream=ping&version=0");
    expect([none.status, none.body.error?.code]).toEqual([422, "no-state"]);
    const beyond = await client.ask("/api/stream/state?stream=order-1&version=99");
    expect(beyond.status).toBe(404);
  });

  test("is not folded without --app, and the answer says what to do", async () => {
    const { client } = await opened({ app: undefined });
    const { status, body } = await client.ask("/api/stream/state?stream=order-1&version=0");
    expect([status, body.error?.code]).toEqual([422, "no-state"]);
    expect(body.error?.message).toMatch(/--app/);
  });
});

test("a trace is a tree over streams, with the time between cause and effect", async () => {
  const { client } = await opened();
  const trace = await client.get("/api/trace", { correlation: "place-1" });
  expect(trace.events.map(({ name, depth, loop }) => [name, depth, loop])).toEqual([
    ["OrderPlaced", 1, 0],
    ["StockReserved", 2, 0],
    ["MailQueued", 2, 0],
    ["OrderPaid", 3, 0],
    ["OrderShipped", 4, 0],
  ]);
  expect(trace).toMatchObject({ streams: ["order-1", "stock-sku-1", "mail-1"], depth: 4, cut: false });
  const [root, reserved] = trace.events;
  expect(reserved).toMatchObject({ parent: root?.id });
  expect(reserved?.afterMs).toBe(reserved?.offsetMs);
  const loop = await client.get("/api/trace", { correlation: "loop", limit: 5 });
  expect(loop.events.map(({ loop: times }) => times)).toEqual([0, 0, 1, 1, 2]);
  expect(loop.cut).toBe(true);
  expect((await client.ask("/api/trace?correlation=nothing")).status).toBe(404);
});
