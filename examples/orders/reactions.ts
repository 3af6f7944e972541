/**
 * What follows from an order's events: its rows in the read models, and the refund of a cancelled order. Each
 * order has targets of its own, so any number of workers share them. Delivery is at least once (a worker may
 * die after it wrote and before it acknowledged), so every reaction here can be repeated.
 */
import { act, type Committed, projection, type Schemas } from "@rotorsoft/act";
import { and, eq, lt } from "drizzle-orm";
import type { Database } from "./database.ts";
import { Order, OrderCancelled, OrderPaid, OrderPlaced, OrderRefunded, OrderShipped } from "./domain.ts";
import { orderLines, orders } from "./read-models.ts";

type Event = Pick<Committed<Schemas, string>, "stream" | "version">;

/** `source` is what makes a target fetch the events of its own order only. */
const viewOf = ({ stream }: Event) => ({ target: `view:${stream}`, source: stream });
const refundOf = ({ stream }: Event) => ({ target: `refund:${stream}`, source: stream });

export const buildWorker = (db: Database) =>
  act()
    .withState(Order)
    .withProjection(view(db))
    .on("OrderCancelled")
    .do(async function refund({ stream, data }, _target, app) {
      if (data.paid === 0) return;
      const { state, version } = await app.load(Order, stream);
      // The version makes it once: of two workers with the same event, one gets a ConcurrencyError.
      const target = { stream, actor: { id: "refunds", name: "Refunds" }, expectedVersion: version };
      if (state.paid > 0) await app.do("refundOrder", target, {});
    })
    .to(refundOf)
    .build();

function view(db: Database) {
  /** Changes the row unless it has seen this event already. */
  const change = async ({ stream, version }: Event, values: Partial<typeof orders.$inferInsert>) => {
    await db
      .update(orders)
      .set({ ...values, version })
      .where(and(eq(orders.stream, stream), lt(orders.version, version)));
  };

  return projection()
    .on({ OrderPlaced })
    .do(async function placed({ stream, version, created, data: { lines, customer, total } }) {
      await db.transaction(async (tx) => {
        const row = { stream, version, customer, total, status: "placed", paid: 0, placed: created } as const;
        await tx.insert(orders).values(row).onConflictDoNothing();
        const numbered = lines.map((line, i) => ({ stream, line: i + 1, ...line }));
        await tx.insert(orderLines).values(numbered).onConflictDoNothing();
      });
    })
    .to(viewOf)
    .on({ OrderPaid })
    .do(async function paid(event) {
      await change(event, { status: "paid", paid: event.data.amount });
    })
    .to(viewOf)
    .on({ OrderShipped })
    .do(async function shipped(event) {
      await change(event, { status: "shipped", due: event.data.due });
    })
    .to(viewOf)
    .on({ OrderCancelled })
    .do(async function cancelled(event) {
      await change(event, { status: "cancelled" });
    })
    .to(viewOf)
    .on({ OrderRefunded })
    .do(async function refunded(event) {
      await change(event, { paid: 0 });
    })
    .to(viewOf)
    .build();
}
