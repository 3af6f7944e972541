/** act-drizzle/queries: payloads with their types, conditions on paths in them, and plans that use the log's indexes. */
import { and, eq, gt, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { beforeAll, expect, expectTypeOf, onTestFinished, test } from "vitest";
import { z } from "zod";
import { PostgresStore } from "../../src/index.ts";
import { actPositions } from "../../src/projections/index.ts";
import {
  actRelations,
  booleanIn,
  contains,
  dateIn,
  numberIn,
  textIn,
  typedEvents,
} from "../../src/queries/index.ts";
import { actTables } from "../../src/schema/tables.ts";
import { useApps } from "../framework/fixture.ts";
import { tables } from "../projections/fixture.ts";
import { nodePool } from "../support/node-pool.ts";

const fixture = useApps();
const Placed = z.object({
  customer: z.object({ name: z.string(), vip: z.boolean() }),
  lines: z.array(z.object({ sku: z.string(), price: z.number() })),
  note: z.string().optional(),
  due: z.date(),
});
const Paid = z.object({ amount: z.number() });
const due = new Date("2030-01-02T03:04:05.678Z");
const meta = { correlation: "c", causation: {} };
const placed = (name: string, price: number) => ({
  name: "Placed",
  data: { customer: { name, vip: name === "Ada" }, lines: [{ sku: "a", price }], due },
});

const TABLE = "typed_log";
const { events, streams } = actTables({ table: TABLE });
const positions = actPositions({ table: "typed_positions" });
const log = typedEvents(events, { Placed, Paid });

function open() {
  const pool = nodePool({ connectionString: fixture.url, max: 1 });
  onTestFinished(() => pool.end());
  const relations = actRelations({ events, streams, positions });
  return drizzle(pool, { schema: { events, streams, positions, ...relations } });
}

beforeAll(async () => {
  const store = new PostgresStore({ url: fixture.url, table: TABLE });
  await store.seed();
  await store.commit("order-1", [placed("Ada", 100), { name: "Paid", data: { amount: 100 } }], meta);
  await store.commit("order-2", [placed("Grace", 7)], meta);
  await store.subscribe([{ stream: "view", source: "order-1" }]);
  for (const statement of await tables({ positions })) await fixture.sql.unsafe(statement);
  await fixture.sql`insert into typed_positions (projection, target, at) values ('p', 'view', 2)`;
  await store.dispose();
});

test("relations of what is no table are refused", () => {
  for (const given of [undefined, {}, { events, streams }, { events, streams, positions: "positions" }])
    expect(() => Reflect.apply(actRelations, undefined, [given])).toThrow(/^act-drizzle: actRelations: /);
});

test("a payload has the type of its schema, as jsonb holds it, and with its Dates where it is revived", async () => {
  const rows = await open().select().from(log.named("Placed"));
  expectTypeOf<(typeof rows)[number]["data"]["due"]>().toEqualTypeOf<string>();
  const [first] = rows;
  if (!first) throw new Error("no row");
  expect(first.data.due).toBe(due.toISOString());
  const revived = log.revive("Placed", first);
  expectTypeOf(revived.due).toEqualTypeOf<Date>();
  expect(revived.due).toEqual(due);
  expect(first.data.due).toBe(due.toISOString());
});

test("conditions reach into payloads, by paths that the types know", async () => {
  const db = open();
  const orders = log.named("Placed");
  const find = (where: SQL) =>
    db
      .select({ stream: orders.stream })
      .from(orders)
      .where(where)
      .then((rows) => rows.map(({ stream }) => stream));
  expect(await find(eq(textIn(orders.data, "customer", "name"), "Grace"))).toEqual(["order-2"]);
  expect(await find(gt(numberIn(orders.data, "lines", 0, "price"), 50))).toEqual(["order-1"]);
  expect(await find(booleanIn(orders.data, "customer", "vip"))).toEqual(["order-1"]);
  expect(await find(contains(orders.data, { lines: [{ price: 7 }] }))).toEqual(["order-2"]);
  expect(await find(gt(dateIn(orders.data, "due"), sql`now()`))).toEqual(["order-1", "order-2"]);
  const [row] = await db
    .select({ due: dateIn(orders.data, "due"), note: textIn(orders.data, "note") })
    .from(orders);
  expect(row).toEqual({ due, note: null });
});

test("a path that leads nowhere, or to another type, does not compile", () => {
  const orders = log.named("Placed");
  // @ts-expect-error: no such event
  log.named("Lost");
  // @ts-expect-error: no such field
  textIn(orders.data, "customer", "nmae");
  // @ts-expect-error: a name is no number
  numberIn(orders.data, "customer", "name");
  // @ts-expect-error: no such value in it
  contains(orders.data, { lines: [{ price: "7" }] });
});

test("the subquery is flattened, and the log's index of names serves it", async () => {
  const db = open();
  const orders = log.named("Placed");
  const query = db.select({ data: orders.data }).from(orders).where(gt(orders.id, 1)).getSQL();
  const joined = db
    .select({ data: orders.data })
    .from(orders)
    .where(and(eq(orders.stream, "order-1"), eq(textIn(orders.data, "customer", "name"), "Ada")))
    .getSQL();
  const plans = await db.transaction(async (tx) => {
    await tx.execute(sql`set local enable_seqscan = off`);
    await tx.execute(sql`set local enable_bitmapscan = off`);
    const explain = async (given: typeof query) =>
      JSON.stringify((await tx.execute(sql`explain ${given}`)).rows);
    return [await explain(query), await explain(joined)];
  });
  expect(plans[0]).toContain(`${TABLE}_name_id_ix`);
  expect(plans[1]).toMatch(new RegExp(`${TABLE}_(stream|stream_id|name_id)_ix`));
  for (const plan of plans) expect(plan).not.toContain("Subquery Scan");
});

test("db.query goes from a subscription to its last event and to the positions of its target, and back", async () => {
  const db = open();
  const found = await db.query.streams.findMany({ with: { positions: { with: { last: true } } } });
  expect(found).toMatchObject([
    { stream: "view", positions: [{ projection: "p", at: 2, last: { id: 2, name: "Paid" } }] },
  ]);
  const back = await db.query.positions.findFirst({ with: { subscription: true } });
  expect(back?.subscription?.stream).toBe("view");
  const event = await db.query.events.findFirst({ where: eq(events.id, 1), with: { subscriptions: true } });
  expect(event?.subscriptions.map(({ stream }) => stream)).toEqual(["view"]);
});
