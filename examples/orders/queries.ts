/** Reads: the app's tables joined with the log and the subscriptions, with types throughout. */
import { numberIn, textIn, typedEvents } from "act-drizzle/queries";
import { and, desc, eq, getTableColumns, lt, sum } from "drizzle-orm";
import type { Database } from "./database.ts";
import type { OrderEvents, Status } from "./domain.ts";
import { events, orderLines, orders, streams } from "./schema.ts";

const log = typedEvents<OrderEvents>(events);

export type OrderFilter = { customer?: string; status?: Exclude<Status, "none">; limit?: number };

/** The newest orders first, with their lines. */
export function listOrders(db: Database, { customer, status, limit = 50 }: OrderFilter = {}) {
  return db.query.orders.findMany({
    where: and(
      customer ? eq(orders.customer, customer) : undefined,
      status ? eq(orders.status, status) : undefined,
    ),
    orderBy: [desc(orders.placed), orders.stream],
    limit,
    with: { lines: { columns: { sku: true, quantity: true, price: true }, orderBy: orderLines.line } },
  });
}

/** What happened to an order, told from the payloads of its events. Undefined for an unknown one. */
export async function storyOf(db: Database, stream: string): Promise<string[] | undefined> {
  const order = await db.query.orders.findFirst({
    where: eq(orders.stream, stream),
    with: { events: { columns: { name: true, data: true, created: true }, orderBy: events.version } },
  });
  return order?.events.map((event) => {
    const day = event.created.toISOString().slice(0, 10);
    if (log.is(event, "OrderPlaced"))
      return `${day} placed: ${event.data.lines.map(({ quantity, sku }) => `${quantity} × ${sku}`).join(", ")}`;
    if (log.is(event, "OrderPaid")) return `${day} paid ${event.data.amount} by ${event.data.method}`;
    if (log.is(event, "OrderShipped")) return `${day} left with ${event.data.carrier}, due ${event.data.due}`;
    if (log.is(event, "OrderCancelled")) return `${day} cancelled: ${event.data.reason}`;
    if (log.is(event, "OrderRefunded")) return `${day} refunded ${event.data.amount}`;
    return `${day} ${event.name}`;
  });
}

/** A payload of the log beside a row of the read model: who carries what is under way, and what it is worth. */
export function shipments(db: Database) {
  const shipped = log.named("OrderShipped");
  return db
    .select({ stream: orders.stream, customer: orders.customer, total: orders.total, shipment: shipped.data })
    .from(orders)
    .innerJoin(shipped, eq(shipped.stream, orders.stream))
    .where(eq(orders.status, "shipped"))
    .orderBy(shipped.id);
}

/** Sums over payloads: what each way of paying brought in, before refunds. */
export function income(db: Database) {
  const paid = log.named("OrderPaid");
  const method = textIn(paid.data, "method");
  return db
    .select({ method, amount: sum(numberIn(paid.data, "amount")).mapWith(Number) })
    .from(paid)
    .groupBy(method)
    .orderBy(method);
}

/**
 * The reactions that have work before them, with what stopped those that are blocked: what an operator looks at. Reads the
 * subscriptions only. An event that no worker has looked at yet is not counted: that is within seconds while one runs.
 */
export function behind(db: Database) {
  const { stream, source, at, correlated_at, retry, blocked, error } = getTableColumns(streams);
  return db
    .select({ reaction: stream, order: source, at, until: correlated_at, retry, blocked, error })
    .from(streams)
    .where(lt(at, correlated_at))
    .orderBy(stream);
}
