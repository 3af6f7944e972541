/** The rules of the orders example, and what its reactions do, by the test kit: each test has a log of its own. */
import { expect, onTestFinished, test } from "vitest";
import { openDatabase, prepareDatabase } from "../../examples/orders/database.ts";
import { buildWorker } from "../../examples/orders/reactions.ts";
import { testKit } from "../../src/testing/index.ts";
import { createDatabase } from "../support/database.ts";

const actor = { id: "1", name: "Ada" };
const lines = [{ sku: "book", quantity: 2, price: 1_999 }];
const placed = { name: "OrderPlaced", data: { customer: "Ada", lines, total: 3_998 } } as const;
const paid = { name: "OrderPaid", data: { method: "card", amount: 3_998 } } as const;

/** The read models are in the schema of the example, so each test has a database of its own. */
async function ordersKit() {
  const { url, drop } = await createDatabase();
  onTestFinished(drop);
  await prepareDatabase(url);
  const db = openDatabase(url);
  const kit = await testKit({
    url,
    build: ({ options, onDispose }) => {
      onDispose(() => db.end());
      return buildWorker(db, options);
    },
  });
  onTestFinished(() => kit.dispose());
  return { kit, rows: () => db.query.orders.findMany() };
}

test("a paid order that is cancelled is refunded, and its row says so", async () => {
  const { kit, rows } = await ordersKit();
  const target = { stream: "order-1", actor };
  await kit.scenario({
    given: { "order-1": [placed, paid] },
    when: (app) => app.do("cancelOrder", target, { reason: "late" }),
    thenEvents: [
      { name: "OrderCancelled", data: { reason: "late", paid: 3_998 } },
      { name: "OrderRefunded", data: { amount: 3_998 } },
    ],
  });
  expect(await rows()).toMatchObject([{ stream: "order-1", status: "cancelled", paid: 0, version: 3 }]);
});

test("an order that is not paid is not shipped, and its row stays", async () => {
  const { kit, rows } = await ordersKit();
  const target = { stream: "order-1", actor };
  await kit.scenario({
    given: { "order-1": [placed] },
    when: (app) => app.do("shipOrder", target, { carrier: "Pigeon", due: new Date() }),
    thenThrows: "Only a paid order can be shipped",
  });
  expect(await rows()).toMatchObject([{ stream: "order-1", status: "placed", version: 0 }]);
});

test("events that are delivered again change no row", async () => {
  const { kit, rows } = await ordersKit();
  await kit.given("order-1", placed, paid);
  await kit.drained();
  const before = await rows();
  await kit.app.reset({});
  await kit.drained();
  expect(await rows()).toEqual(before);
});
