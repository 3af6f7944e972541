/** Typed reads of the orders example: each is checked by the compiler (`npm run types`) and by PostgreSQL. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { dispose, store } from "@rotorsoft/act";
import { and, eq, gt, lte, sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import { createStore, type Database, openDatabase, prepareDatabase } from "../../examples/orders/database.ts";
import { buildShop, type OrderEvents } from "../../examples/orders/domain.ts";
import { behind, income, listOrders, shipments, storyOf } from "../../examples/orders/queries.ts";
import { buildWorker } from "../../examples/orders/reactions.ts";
import { correlated, events, orders, SCHEMA, streams } from "../../examples/orders/schema.ts";
import type { PostgresStore } from "../../src/index.ts";
import { numberIn, type Stored, typedEvents } from "../../src/queries/index.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const log = typedEvents<OrderEvents>(events);
const actor = { id: "test", name: "Test" };
const due = new Date("2030-01-02T03:04:05.678Z");

type PlacedData = {
  customer: string;
  lines: { sku: string; quantity: number; price: number }[];
  total: number;
};

let database: TestDatabase;
let db: Database;
let postgres: PostgresStore;
let app: ReturnType<typeof buildWorker>;

beforeAll(async () => {
  database = await createDatabase();
  await prepareDatabase(database.url);
  db = openDatabase(database.url, 2);
  postgres = createStore(database.url, { max: 4 });
  store(postgres);
  const shop = buildShop();
  const place = (stream: string, customer: string, ...prices: number[]) => {
    const lines = prices.map((price, i) => ({ sku: `sku-${i}`, quantity: i + 1, price }));
    return shop.do("placeOrder", { stream, actor }, { customer, lines });
  };
  await place("order-1", "Ada", 100, 200);
  await shop.do("payOrder", { stream: "order-1", actor }, { method: "card" });
  await shop.do("shipOrder", { stream: "order-1", actor }, { carrier: "Pigeon", due });
  await place("order-2", "Ada", 50);
  await shop.do("payOrder", { stream: "order-2", actor }, { method: "card" });
  await place("order-3", "Grace", 7);
  await shop.do("payOrder", { stream: "order-3", actor }, { method: "invoice" });
  app = buildWorker(db);
  for (let more = true; more; ) {
    const { subscribed } = await app.correlate({ limit: 100 });
    more = subscribed > 0 || (await app.drain({ streamLimit: 100 })).acked.length > 0;
  }
});
afterAll(async () => {
  await dispose()();
  await db?.end();
  await database?.drop();
});

describe("a payload", () => {
  it("has the type of the zod schema it was emitted with, as jsonb holds it", async () => {
    const rows = await db.select().from(log.named("OrderShipped"));
    type Row = (typeof rows)[number];
    expectTypeOf<Row["data"]>().toEqualTypeOf<{ carrier: string; due: string }>();
    expectTypeOf<Row["created"]>().toEqualTypeOf<Date>();
    expect(rows).toEqual([
      {
        id: expect.any(Number),
        stream: "order-1",
        version: 2,
        created: expect.any(Date),
        data: { carrier: "Pigeon", due: due.toISOString() },
        meta: expect.anything(),
        dates: { data: [["due"]] },
      },
    ]);
  });

  it("keeps its type in a join with a read model", async () => {
    const placed = log.named("OrderPlaced");
    const rows = await db
      .select({ customer: orders.customer, version: orders.version, data: placed.data })
      .from(orders)
      .innerJoin(placed, eq(placed.stream, orders.stream))
      .where(eq(orders.stream, "order-1"));
    expectTypeOf(rows).toEqualTypeOf<{ customer: string; version: number; data: PlacedData }[]>();
    expect(rows[0]?.data.lines).toEqual([
      { sku: "sku-0", quantity: 1, price: 100 },
      { sku: "sku-1", quantity: 2, price: 200 },
    ]);
  });

  it("may be missing in an outer join", async () => {
    const shipped = log.named("OrderShipped");
    const rows = await db
      .select({ stream: orders.stream, carrier: shipped.data })
      .from(orders)
      .leftJoin(shipped, eq(shipped.stream, orders.stream))
      .orderBy(orders.stream);
    expectTypeOf<(typeof rows)[number]["carrier"]>().toEqualTypeOf<Stored<
      OrderEvents["OrderShipped"]
    > | null>();
    expect(rows.map(({ carrier }) => carrier?.carrier)).toEqual(["Pigeon", undefined, undefined]);
  });

  it("can be joined with another of the same stream, under a name of its own", async () => {
    const placed = log.named("OrderPlaced");
    const paid = log.named("OrderPaid", { alias: "payment" });
    const rows = await db
      .select({ total: numberIn(placed.data, "total"), amount: numberIn(paid.data, "amount") })
      .from(placed)
      .innerJoin(paid, and(eq(paid.stream, placed.stream), gt(paid.id, placed.id)))
      .where(gt(numberIn(placed.data, "total"), 49))
      .orderBy(placed.id);
    expectTypeOf(rows).toEqualTypeOf<{ total: number; amount: number }[]>();
    expect(rows).toEqual([
      { total: 500, amount: 500 },
      { total: 50, amount: 50 },
    ]);
  });

  it("is what the event's name says, in rows of any query", async () => {
    const rows = await db.select({ name: events.name, data: events.data }).from(events).orderBy(events.id);
    expectTypeOf<(typeof rows)[number]["data"]>().toBeUnknown();
    const methods = rows.flatMap((row) => {
      if (!log.is(row, "OrderPaid")) return [];
      expectTypeOf(row.data).toEqualTypeOf<{ method: "card" | "invoice"; amount: number }>();
      return [row.data.method];
    });
    expect(methods).toEqual(["card", "card", "invoice"]);
  });

  it("cannot be asked for by a name that no event has, or for a number that is none", () => {
    // @ts-expect-error There is no such event.
    log.named("OrderLost");
    // @ts-expect-error A carrier is no number.
    numberIn(log.named("OrderShipped").data, "carrier");
  });

  it("is read through the indexes of the log: the subquery is flattened", async () => {
    const paid = log.named("OrderPaid");
    const query = db
      .select({ id: paid.id })
      .from(paid)
      .where(and(gt(paid.id, 1), lte(paid.id, 5)))
      .getSQL();
    const plan = await db.transaction(async (tx) => {
      await tx.execute(sql`set local enable_seqscan = off`);
      await tx.execute(sql`set local enable_bitmapscan = off`);
      return JSON.stringify(await tx.execute(sql`explain ${query}`));
    });
    expect(plan).toContain("events_name_id_ix");
    expect(plan).not.toContain("Subquery Scan");
  });
});

describe("relational queries", () => {
  it("find the events and the subscriptions of a row", async () => {
    const order = await db.query.orders.findFirst({
      where: eq(orders.stream, "order-1"),
      with: { lines: true, events: { orderBy: events.version }, subscriptions: true },
    });
    type Found = NonNullable<typeof order>;
    expectTypeOf<Found["status"]>().toEqualTypeOf<"placed" | "paid" | "shipped" | "cancelled">();
    expectTypeOf<Found["events"][number]["created"]>().toEqualTypeOf<Date>();
    expectTypeOf<Found["subscriptions"][number]["at"]>().toEqualTypeOf<number>();
    expect(order).toMatchObject({
      stream: "order-1",
      customer: "Ada",
      due,
      lines: [{ line: 1 }, { line: 2 }],
      events: [
        { name: "OrderPlaced" },
        { name: "OrderPaid" },
        { name: "OrderShipped", data: { carrier: "Pigeon" } },
      ],
      subscriptions: [{ stream: "view:order-1", source: "order-1", blocked: false }],
    });
    expect(order?.events[0]?.created).toBeInstanceOf(Date);
    expect(order?.subscriptions[0]?.at).toBe(order?.events.at(-1)?.id);
  });

  it("find the row of an event", async () => {
    const found = await db.query.events.findMany({
      columns: { version: true },
      where: eq(events.name, "OrderPaid"),
      with: { order: { columns: { customer: true } } },
      orderBy: events.id,
    });
    expect(found.map(({ order }) => order?.customer)).toEqual(["Ada", "Ada", "Grace"]);
  });
});

describe("the queries of the API", () => {
  it("list, tell, and count", async () => {
    const [first] = await listOrders(db, { customer: "Ada", status: "shipped" });
    expect(first).toMatchObject({
      stream: "order-1",
      total: 500,
      paid: 500,
      lines: [{ sku: "sku-0" }, { sku: "sku-1" }],
    });
    expect(await storyOf(db, "order-3")).toEqual([
      expect.stringMatching(/ placed: 1 × sku-0$/),
      expect.stringMatching(/ paid 7 by invoice$/),
    ]);
    expect(await storyOf(db, "order-4")).toBeUndefined();
    expect(await income(db)).toEqual([
      { method: "card", amount: 550 },
      { method: "invoice", amount: 7 },
    ]);
    const under = await shipments(db);
    expectTypeOf<(typeof under)[number]["shipment"]>().toEqualTypeOf<{ carrier: string; due: string }>();
    expect(under).toMatchObject([{ stream: "order-1", customer: "Ada", shipment: { carrier: "Pigeon" } }]);
  });

  it("show which reactions are behind", async () => {
    expect(await behind(db)).toEqual([]);
    await app.do("cancelOrder", { stream: "order-3", actor }, { reason: "a test" });
    await app.correlate({ limit: 100 });
    const late = await behind(db);
    expectTypeOf<(typeof late)[number]["at"]>().toEqualTypeOf<number>();
    const order = { order: "order-3", retry: -1, blocked: false };
    expect(late).toMatchObject([
      { reaction: "refund:order-3", ...order },
      { reaction: "view:order-3", ...order },
    ]);
  });

  it("do not count a reaction as behind once it has caught up, whatever its stream's last event is", async () => {
    // The refund's own event is of no concern to the subscription that wrote it.
    while ((await app.correlate({ limit: 100 })).subscribed > 0 || (await app.drain()).acked.length > 0);
    const [last] = await app.query_array({ stream: "order-3", stream_exact: true, backward: true, limit: 1 });
    expect(last?.name).toBe("OrderRefunded");
    expect(await behind(db)).toEqual([]);
  });

  it("tell who is behind without a look at the log", async () => {
    const plan = JSON.stringify(await db.execute(sql`explain ${behind(db).getSQL()}`));
    expect(plan).not.toMatch(/ on events[ "]/);
  });
});

const root = join(import.meta.dirname, "../..");

describe("the schema", () => {
  it("has the tables that the store has", async () => {
    for (const key of ["events", "streams", "correlated"] as const) {
      const rows = await db.select().from(postgres.tables[key]);
      expect(rows).toEqual(await db.select().from({ events, streams, correlated }[key]));
    }
    expectTypeOf<keyof typeof postgres.tables>().toEqualTypeOf<"events" | "streams" | "correlated">();
    expect(postgres.config.schema).toBe(SCHEMA);
  });

  it("has its migrations: drizzle-kit generate has nothing to add", () => {
    const folder = mkdtempSync(join(tmpdir(), "act-orders-migrations-"));
    cpSync(join(root, "examples/orders/migrations"), folder, { recursive: true });
    const before = readdirSync(folder);
    const bin = join(root, "node_modules/drizzle-kit/bin.cjs");
    const options = [
      "--dialect=postgresql",
      "--schema=examples/orders/read-models.ts",
      `--out=${relative(root, folder)}`,
    ];
    const said = execFileSync(process.execPath, [bin, "generate", ...options], {
      cwd: root,
      encoding: "utf8",
    });
    expect(said).toContain("No schema changes");
    expect(readdirSync(folder)).toEqual(before);
    rmSync(folder, { recursive: true });
  });
});
