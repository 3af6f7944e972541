/** The HTTP interface: commands into the domain, reads out of the tables, errors into status codes. */
import {
  ConcurrencyError,
  InvariantError,
  StoreError,
  StreamClosedError,
  ValidationError,
} from "@rotorsoft/act";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import { type Done, KeyReusedError, newStream, once } from "./commands.ts";
import type { Database } from "./database.ts";
import {
  CancelOrder,
  Order,
  type OrderActions,
  type OrderState,
  PayOrder,
  PlaceOrder,
  ShipOrder,
  type Shop,
} from "./domain.ts";
import { behind, income, listOrders, shipments, storyOf } from "./queries.ts";

class BadRequest extends Error {}
class NotFound extends Error {}

type Change = "payOrder" | "shipOrder" | "cancelOrder";

const ACTOR = { id: "api", name: "Orders API" };
const Key = z.string().regex(/^[\x21-\x7e]{1,128}$/, "1 to 128 visible ASCII characters");
/** The version that the caller has seen: if the order has moved on, the answer is 409 and nothing is done. */
const Expected = z.object({ expectedVersion: z.int().min(0).optional() });
const Filter = z.object({
  customer: z.string().optional(),
  status: z.enum(["placed", "paid", "shipped", "cancelled"]).optional(),
  limit: z.coerce.number().int().min(1).max(500).optional(),
});

export function buildApi(shop: Shop, db: Database): Hono {
  const api = new Hono();
  // What is left of the body is not read: this connection is good for no other request.
  const onError = (c: Context) => c.json({ error: "too_large" }, 413, { Connection: "close" });
  api.use(bodyLimit({ maxSize: 100_000, onError }));
  api.onError(answerError);

  api.post("/orders", async (c) => {
    const data = await bodyOf(c, PlaceOrder);
    const key = keyOf(c);
    const stream = newStream(key);
    // -1: nobody has written to this stream yet. Without it, Act would append a second order behind the first.
    const target = { stream, actor: ACTOR, expectedVersion: -1 };
    const command = { action: "placeOrder", stream, data, key } as const;
    const done = await once(shop, command, (options) => shop.do("placeOrder", target, data, options));
    c.header("Location", `/orders/${idOf(stream)}`);
    return answer(c, 201, stream, done);
  });

  /** A command to an order that is there. */
  const change = <Action extends Change>(
    path: string,
    action: Action,
    schema: z.ZodType<OrderActions[Action]>,
  ) =>
    api.post(`/orders/:id/${path}`, async (c) => {
      const stream = `order-${c.req.param("id")}`;
      const { expectedVersion } = await bodyOf(c, Expected);
      const data = await bodyOf(c, schema);
      const target = { stream, actor: ACTOR, expectedVersion };
      const command = { action, stream, data, key: keyOf(c) };
      return answer(
        c,
        200,
        stream,
        await once(shop, command, (options) => shop.do(action, target, data, options)),
      );
    });
  change("pay", "payOrder", PayOrder);
  // JSON has no dates: the API reads one from its text.
  change("ship", "shipOrder", ShipOrder.extend({ due: z.coerce.date() }));
  change("cancel", "cancelOrder", CancelOrder);

  // From the log: what was just answered is there.
  api.get("/orders/:id", async (c) => {
    const stream = `order-${c.req.param("id")}`;
    const { state, version } = await shop.load(Order, stream);
    if (state.status === "none") throw new NotFound();
    return c.json(view(stream, state, version));
  });

  // From the read models: a moment behind.
  api.get("/orders", async (c) => {
    const filter = Filter.safeParse(c.req.query());
    if (!filter.success) throw new BadRequest(z.prettifyError(filter.error));
    return c.json(await listOrders(db, filter.data));
  });
  api.get("/orders/:id/story", async (c) => {
    const story = await storyOf(db, `order-${c.req.param("id")}`);
    if (!story) throw new NotFound();
    return c.json(story);
  });
  api.get("/reports/shipments", async (c) => c.json(await shipments(db)));
  api.get("/reports/income", async (c) => c.json(await income(db)));
  api.get("/reports/behind", async (c) => c.json(await behind(db)));
  return api;
}

const idOf = (stream: string) => stream.slice("order-".length);
const view = (stream: string, state: OrderState, version: number) => ({
  id: idOf(stream),
  version,
  ...state,
});

function answer(c: Context, status: 200 | 201, stream: string, { state, version, replayed }: Done) {
  if (replayed) c.header("Idempotency-Replayed", "true");
  return c.json(view(stream, state, version), status);
}

async function bodyOf<Body>(c: Context, schema: z.ZodType<Body>): Promise<Body> {
  const json: unknown = await c.req.json().catch(() => {
    throw new BadRequest("The body is not JSON");
  });
  const body = schema.safeParse(json);
  if (!body.success) throw new BadRequest(z.prettifyError(body.error));
  return body.data;
}

function keyOf(c: Context): string | undefined {
  const header = c.req.header("Idempotency-Key");
  if (header === undefined) return undefined;
  const key = Key.safeParse(header);
  if (!key.success) throw new BadRequest(`Idempotency-Key: ${z.prettifyError(key.error)}`);
  return key.data;
}

/** Every error of the framework and the store has one status; what is unknown is our fault. */
function answerError(error: Error, c: Context) {
  if (error instanceof BadRequest || error instanceof ValidationError)
    return c.json({ error: "invalid", message: error.message }, 400);
  if (error instanceof NotFound) return c.json({ error: "not_found" }, 404);
  if (error instanceof InvariantError) {
    const { state, version } = error.snapshot;
    if (version < 0) return c.json({ error: "not_found" }, 404);
    return c.json({ error: "not_allowed", message: error.description, status: state.status, version }, 409);
  }
  if (error instanceof ConcurrencyError) {
    const { expectedVersion: expected, lastVersion: actual } = error;
    return c.json(
      { error: "conflict", message: "The order has changed: read it again", expected, actual },
      409,
    );
  }
  if (error instanceof StreamClosedError) return c.json({ error: "closed" }, 410);
  if (error instanceof KeyReusedError) return c.json({ error: "key_reused", message: error.message }, 422);
  console.error(error);
  // The outcome may be unknown, and the key makes it safe to try again.
  if (error instanceof StoreError) return c.json({ error: "unavailable" }, 503, { "Retry-After": "1" });
  return c.json({ error: "internal" }, 500);
}
