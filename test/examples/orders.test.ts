/** The orders example as one command starts it: an HTTP process and two workers against one database. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { Program } from "./program.ts";

let database: TestDatabase;
let service: Program;
let base: string;

const addressOf = async (program: Program) => (await program.says(/^Orders on (http:\S+)/m))[1] ?? "";
const start = (script: string, ...args: string[]) =>
  new Program(`examples/orders/${script}`, args, { DATABASE_URL: database.url, PORT: "0" });

beforeAll(async () => {
  database = await createDatabase();
  service = start("main.ts");
  base = await addressOf(service);
});
afterAll(async () => {
  await service?.interrupt();
  await database?.drop();
});

type Answer = { status: number; replayed: boolean; body: Record<string, unknown> };

async function post(path: string, body: unknown, key?: string): Promise<Answer> {
  const response = await fetch(`${base}${path}`, {
    method: "POST",
    headers: key ? { "Idempotency-Key": key } : {},
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const replayed = response.headers.get("Idempotency-Replayed") === "true";
  const answer: unknown = await response.json();
  return { status: response.status, replayed, body: z.record(z.string(), z.unknown()).parse(answer) };
}

const get = async (path: string) => (await fetch(`${base}${path}`)).json();

const order = (customer = "Ada") => ({ customer, lines: [{ sku: "book", quantity: 2, price: 1_999 }] });

/** Places an order, and gives its id. */
async function place(customer?: string): Promise<string> {
  const { status, body } = await post("/orders", order(customer));
  expect(status).toBe(201);
  return `${body.id}`;
}

const shipment = { carrier: "Pigeon", due: "2030-01-02T00:00:00.000Z" };

describe("an order", () => {
  it("is placed, paid and shipped, and what was answered can be read at once", async () => {
    const id = await place();
    expect(await post(`/orders/${id}/pay`, { method: "card" })).toMatchObject({
      status: 200,
      body: { id, version: 1, status: "paid", total: 3_998, paid: 3_998 },
    });
    expect((await post(`/orders/${id}/ship`, shipment)).body).toMatchObject({
      version: 2,
      status: "shipped",
    });
    expect(await get(`/orders/${id}`)).toMatchObject({ id, version: 2, status: "shipped", customer: "Ada" });
  });

  it("reaches the read models, its lines and its story", async () => {
    const id = await place("Grace");
    await post(`/orders/${id}/pay`, { method: "invoice" });
    await post(`/orders/${id}/ship`, shipment);
    const row = { stream: `order-${id}`, status: "shipped", total: 3_998, due: shipment.due, version: 2 };
    const lines = [{ sku: "book", quantity: 2, price: 1_999 }];
    await expect
      .poll(() => get("/orders?customer=Grace&status=shipped"), { timeout: 20_000 })
      .toMatchObject([{ ...row, lines }]);
    const story = await get(`/orders/${id}/story`);
    expect(story).toEqual([
      expect.stringMatching(/ placed: 2 × book$/),
      expect.stringMatching(/ paid 3998 by invoice$/),
      expect.stringMatching(/ left with Pigeon, due 2030-01-02T00:00:00.000Z$/),
    ]);
  });

  it("is refunded once when it is cancelled after its payment", async () => {
    const id = await place("Edsger");
    await post(`/orders/${id}/pay`, { method: "card" });
    expect((await post(`/orders/${id}/cancel`, { reason: "late" })).body).toMatchObject({ paid: 3_998 });
    await expect
      .poll(() => get("/orders?customer=Edsger"), { timeout: 20_000 })
      .toMatchObject([{ status: "cancelled", paid: 0, version: 3 }]);
    expect(await get(`/orders/${id}`)).toMatchObject({ status: "cancelled", paid: 0, version: 3 });
    const story: unknown = await get(`/orders/${id}/story`);
    expect(story).toContainEqual(expect.stringMatching(/ refunded 3998$/));
  });

  it("answers 409 to a command that comes too early or too late", async () => {
    const id = await place();
    const early = await post(`/orders/${id}/ship`, shipment);
    expect(early).toMatchObject({
      status: 409,
      body: { error: "not_allowed", status: "placed", version: 0 },
    });
    await post(`/orders/${id}/cancel`, { reason: "mistake" });
    const late = await post(`/orders/${id}/pay`, { method: "card" });
    expect(late).toMatchObject({ status: 409, body: { error: "not_allowed", status: "cancelled" } });
  });
});

describe("README.md", () => {
  it("shows calls whose answers are what its comments say", () => {
    const readme = readFileSync(join(import.meta.dirname, "../../examples/orders/README.md"), "utf8");
    const [, shown = ""] = /<!-- try -->\n```sh\n(.*?)```/s.exec(readme) ?? [];
    const script = shown
      .replace("http://localhost:3000", base)
      .replaceAll("curl -i", "curl --silent --output /dev/null --write-out '%{http_code}\\n'");
    const answered = execFileSync("bash", ["-c", script], { encoding: "utf8" }).trim().split("\n");
    const announced = [...shown.matchAll(/^curl -i .*# (\d{3})/gm)].map(([, status]) => status);
    expect(answered).toEqual(announced);
    expect(announced.length).toBeGreaterThan(10);
  });
});

describe("a command that its order does not allow", () => {
  it("is answered with the rule and the state, which do not contradict each other", async () => {
    const id = await place();
    await post(`/orders/${id}/pay`, { method: "card" });
    await post(`/orders/${id}/ship`, shipment);
    expect((await post(`/orders/${id}/cancel`, { reason: "late" })).body).toEqual({
      error: "not_allowed",
      message: "Only an order that has not left can be cancelled",
      status: "shipped",
      version: 2,
    });
  });
});

describe("optimistic concurrency", () => {
  it("answers 409 with the real version to whoever has not seen the latest", async () => {
    const id = await place();
    await post(`/orders/${id}/pay`, { method: "card" });
    const stale = await post(`/orders/${id}/cancel`, { reason: "changed my mind", expectedVersion: 0 });
    expect(stale).toMatchObject({ status: 409, body: { error: "conflict", expected: 0, actual: 1 } });
    expect(await get(`/orders/${id}`)).toMatchObject({ status: "paid", version: 1 });
  });

  it("lets one of many through", async () => {
    const id = await place();
    const all = await Promise.all(
      Array.from({ length: 10 }, () => post(`/orders/${id}/pay`, { method: "card", expectedVersion: 0 })),
    );
    expect(all.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(all.filter(({ status }) => status === 409)).toHaveLength(9);
    expect(await get(`/orders/${id}`)).toMatchObject({ version: 1, paid: 3_998 });
  });
});

describe("an Idempotency-Key", () => {
  it("gets the first answer again, though the order has moved on", async () => {
    const first = await post("/orders", order(), "place-1");
    expect(first).toMatchObject({ status: 201, replayed: false });
    const { id } = first.body;
    const paid = await post(`/orders/${id}/pay`, { method: "card" }, "pay-1");
    await post(`/orders/${id}/ship`, { ...shipment, expectedVersion: 1 }, "ship-1");
    expect(await post("/orders", order(), "place-1")).toEqual({ ...first, replayed: true });
    expect(await post(`/orders/${id}/pay`, { method: "card" }, "pay-1")).toEqual({ ...paid, replayed: true });
    expect(await post(`/orders/${id}/ship`, shipment, "ship-1")).toMatchObject({
      status: 200,
      replayed: true,
    });
    expect(await get(`/orders/${id}`)).toMatchObject({ version: 2 });
  });

  it("makes one order of many requests at once", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => post("/orders", order(), "place-many")));
    expect(all.map(({ status }) => status)).toEqual(Array(12).fill(201));
    expect(new Set(all.map(({ body }) => JSON.stringify(body)))).toHaveLength(1);
    expect(all.filter(({ replayed }) => !replayed)).toHaveLength(1);
    const id = all[0]?.body.id;
    const paid = await Promise.all(
      Array.from({ length: 12 }, () => post(`/orders/${id}/pay`, { method: "card" }, "pay-many")),
    );
    expect(paid.filter(({ status }) => status === 200)).toHaveLength(12);
    expect(await get(`/orders/${id}`)).toMatchObject({ version: 1, paid: 3_998 });
  });

  it("answers 422 when it comes with something else", async () => {
    const { body } = await post("/orders", order(), "place-2");
    expect(await post("/orders", order("Mallory"), "place-2")).toMatchObject({ status: 422 });
    expect(await post(`/orders/${body.id}/pay`, { method: "card" }, "place-2")).toMatchObject({
      status: 422,
      body: { error: "key_reused" },
    });
  });

  it("may be used again after a command that failed", async () => {
    const id = await place();
    expect(await post(`/orders/${id}/ship`, shipment, "ship-2")).toMatchObject({ status: 409 });
    await post(`/orders/${id}/pay`, { method: "card" });
    expect(await post(`/orders/${id}/ship`, shipment, "ship-2")).toMatchObject({
      status: 200,
      replayed: false,
    });
  });
});

describe("a request that is wrong", () => {
  it.each([
    ["no JSON", "/orders", "{", 400],
    ["no lines", "/orders", { customer: "Ada", lines: [] }, 400],
    ["half a piece", "/orders", { customer: "Ada", lines: [{ sku: "a", quantity: 0.5, price: 1 }] }, 400],
    ["a character that PostgreSQL cannot store", "/orders", order("A\0da"), 400],
    ["another way to pay", "/orders/x/pay", { method: "shells" }, 400],
    ["a date that is none", "/orders/x/ship", { carrier: "Pigeon", due: "tomorrow" }, 400],
    ["a version that is none", "/orders/x/pay", { method: "card", expectedVersion: -1 }, 400],
    ["an order that is not there", "/orders/x/pay", { method: "card" }, 404],
    ["too much", "/orders", "x".repeat(200_000), 413],
  ])("is told so: %s", async (_, path, body, status) => {
    const response = await fetch(`${base}${path}`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    expect(response.status).toBe(status);
    await response.text();
  });

  it("is told so: a key with a blank, an order that nobody placed, a filter that is none", async () => {
    expect(await post("/orders", order(), "two words")).toMatchObject({ status: 400 });
    expect((await fetch(`${base}/orders/x`)).status).toBe(404);
    expect((await fetch(`${base}/orders/x/story`)).status).toBe(404);
    expect((await fetch(`${base}/orders?limit=many`)).status).toBe(400);
  });
});

describe("two workers", { timeout: 60_000 }, () => {
  it("share the orders, and every row is right", async () => {
    const placed: string[] = [];
    const reacted = () => ["1", "2"].every((name) => service.output.includes(`Worker ${name} reacted: `));
    for (let batch = 0; batch < 20 && (batch < 2 || !reacted()); batch++) {
      const customers = Array.from({ length: 20 }, (_, i) => `bulk-${batch}-${i}`);
      const ids = await Promise.all(customers.map(place));
      await Promise.all(ids.map((id) => post(`/orders/${id}/pay`, { method: "card" })));
      await Promise.all(ids.map((id) => post(`/orders/${id}/cancel`, { reason: "a test" })));
      placed.push(...ids);
    }
    const sql = connect(database.url);
    const left = () => sql`
      select o.stream, o.status, o.paid, o.version, count(l.*) as lines
      from act_orders.orders o left join act_orders.order_lines l using (stream)
      where customer like 'bulk-%' group by 1`;
    await expect
      .poll(async () => (await left()).filter(({ version }) => version === 3).length, { timeout: 45_000 })
      .toBe(placed.length);
    for (const row of await left())
      expect(row).toMatchObject({ status: "cancelled", paid: "0", version: 3, lines: "1" });
    await sql.end();
    expect(reacted()).toBe(true);
  });
});

describe("SIGTERM", () => {
  it("lets a request that is under way finish, refuses new ones, and ends with 0", async () => {
    const ending = start("server.ts");
    onTestFinished(() => void ending.end("SIGKILL"));
    const own = await addressOf(ending);
    const agent = new Agent({ keepAlive: true });
    const sql = connect(database.url);
    await sql`select pg_advisory_lock(hashtext('"act_orders"."events"'))`;
    const answered = new Promise<{ status: number | undefined; connection: string | undefined }>(
      (done, fail) => {
        const sent = request(`${own}/orders`, { method: "POST", agent }, (response) => {
          response
            .resume()
            .once("end", () =>
              done({ status: response.statusCode, connection: response.headers.connection }),
            );
        });
        sent.once("error", fail).end(JSON.stringify(order("last")));
      },
    );
    const waits = () => sql`select 1 from pg_locks where locktype = 'advisory' and not granted`;
    await expect.poll(async () => (await waits()).length).toBe(1);
    const ended = ending.end("SIGTERM");
    await expect.poll(() => fetch(`${own}/orders/x`).then(String, () => "refused")).toBe("refused");
    const released = performance.now();
    await sql`select pg_advisory_unlock_all()`;
    expect(await answered).toEqual({ status: 201, connection: "close" });
    expect(await ended).toBe(0);
    expect(performance.now() - released).toBeLessThan(2_000);
    agent.destroy();
    await sql.end();
  });

  it("ends a server with idle connections, and a worker, in less than two seconds", async () => {
    const [server, worker] = [start("server.ts"), start("worker.ts", "3")];
    onTestFinished(() => void [server, worker].map((program) => program.end("SIGKILL")));
    await (await fetch(`${await addressOf(server)}/orders`)).text();
    await worker.says(/started/);
    for (const program of [server, worker]) {
      const began = performance.now();
      expect(await program.end("SIGTERM")).toBe(0);
      expect(performance.now() - began).toBeLessThan(2_000);
    }
  });
});

describe("Ctrl-C", () => {
  it("ends the server and the workers, which had nothing to complain about", async () => {
    expect(await service.interrupt()).toBe(130);
    await expect.poll(() => service.groupRuns).toBe(false);
    expect(service.output).not.toMatch(/error|blocked/i);
    const sql = connect(database.url);
    const left = () => sql`select 1 from pg_stat_activity where datname = current_database()
      and application_name like 'orders%'`;
    await expect.poll(async () => (await left()).length).toBe(0);
    await sql.end();
  });
});
