/**
 * What follows from an order's events: its rows in the read models, and the refund of a cancelled order. Each
 * order has targets of its own, so any number of workers share them. Delivery is at least once (a worker may
 * die after it wrote and before it acknowledged): exactlyOnce() lets no event change the rows twice, and the
 * refund can be repeated.
 */
import { type ActOptions, act, type Committed, projection, type Schemas } from "@rotorsoft/act";
import { exactlyOnce, type TransactionOf } from "act-drizzle/projections";
import { eq } from "drizzle-orm";
import type { Database } from "./database.ts";
import { Order, OrderCancelled, OrderPaid, OrderPlaced, OrderRefunded, OrderShipped } from "./domain.ts";
import { orderLines, orders, positions } from "./read-models.ts";

type Event = Pick<Committed<Schemas, string>, "stream" | "version">;

/** `source` is what makes a target fetch the events of its own order only. */
const viewOf = ({ stream }: Event) => ({ target: `view:${stream}`, source: stream });
const refundOf = ({ stream }: Event) => ({ target: `refund:${stream}`, source: stream });

/** `options`: a test gives the app a store of its own. */
export const buildWorker = (db: Database, options?: ActOptions<"default">) =>
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
    .build(options);

function view(db: Database) {
  const once = exactlyOnce({ db, projection: "orders", positions });
  const change = (
    tx: TransactionOf<Database>,
    { stream, version }: Event,
    values: Partial<typeof orders.$inferInsert>,
  ) =>
    tx
      .update(orders)
      .set({ ...values, version })
      .where(eq(orders.stream, stream));

  return projection()
    .on({ OrderPlaced })
    .do(
      once.do(async function placed({ stream, version, created, data: { lines, customer, total } }, tx) {
        const row = { stream, version, customer, total, status: "placed", paid: 0, placed: created } as const;
        await tx.insert(orders).values(row);
        const numbered = lines.map((line, i) => ({ stream, line: i + 1, ...line }));
        await tx.insert(orderLines).values(numbered);
      }),
    )
    .to(viewOf)
    .on({ OrderPaid })
    .do(
      once.do(async function paid(event, tx) {
        await change(tx, event, { status: "paid", paid: event.data.amount });
      }),
    )
    .to(viewOf)
    .on({ OrderShipped })
    .do(
      once.do(async function shipped(event, tx) {
        await change(tx, event, { status: "shipped", due: event.data.due });
      }),
    )
    .to(viewOf)
    .on({ OrderCancelled })
    .do(
      once.do(async function cancelled(event, tx) {
        await change(tx, event, { status: "cancelled" });
      }),
    )
    .to(viewOf)
    .on({ OrderRefunded })
    .do(
      once.do(async function refunded(event, tx) {
        await change(tx, event, { paid: 0 });
      }),
    )
    .to(viewOf)
    .build();
}
