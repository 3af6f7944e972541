/** Sources that no query accepts, and arguments that PostgreSQL cannot store. */
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { nextEvents } from "../../src/admin/next-events.ts";
import { contextOf } from "../../src/context.ts";
import { PostgresIdempotency } from "../../src/idempotency/index.ts";
import type { Query } from "../../src/postgres/index.ts";
import { instrument } from "../../src/telemetry/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("a subscription whose source is no pattern of query() does not hide the others", async () => {
  const store = await fixture.seeded();
  await store.commit("x-1", [event("A")], meta);
  const sources = ["x(?=-1)", "x(", "\\bx", "a{999}", "^x-", "x-1"];
  await store.subscribe(sources.map((source) => ({ stream: `of ${source}`, source, correlated_at: 1 })));
  const admin = new Admin(store);
  const counts = Object.fromEntries((await admin.lag()).map(({ source, events }) => [source, events]));
  const unknown = { count: 0, exact: false };
  expect(counts).toEqual({
    ...Object.fromEntries(sources.slice(0, 4).map((source) => [source, unknown])),
    "^x-": { count: 1, exact: true },
    "x-1": { count: 1, exact: true },
  });
  const { subscriptions } = await admin.subscriptions();
  expect(subscriptions.map(({ waiting }) => waiting.count).sort()).toEqual([0, 0, 0, 0, 1, 1]);
  const leases = await store.claim(10, 0, "w", 60_000);
  await store.block(leases.map((lease) => ({ ...lease, error: "refused" })));
  expect((await admin.blocked()).filter(({ event: at }) => at === undefined)).toHaveLength(4);
});

test("a subscription whose source is too complex for the server does not hide the others", async () => {
  const store = await fixture.seeded();
  await store.commit("x-1", [event("A")], meta);
  const names = Array.from({ length: 10_000 }, (_, n) => `order-${n}`).join("|");
  const sources = ["(abcdefghij){0,255}".repeat(39), `^(${names})$`, "^x-", "x-1"];
  await store.subscribe(sources.map((source, n) => ({ stream: `s${n}`, source, correlated_at: 1 })));
  const admin = new Admin(store);
  expect((await admin.lag()).map(({ stream, events }) => [stream, events.count]).sort()).toEqual(
    [0, 0, 1, 1].map((count, n) => [`s${n}`, count]),
  );
  expect((await admin.subscriptions()).subscriptions.map(({ waiting }) => waiting.count)).toEqual([
    0, 0, 1, 1,
  ]);
  expect((await store.health({ deep: true })).ok).toBe(true);
  const seen: string[] = [];
  // The first may match, for all that is known. The second is matched in this process, and does not.
  await store.query_streams(({ stream }) => void seen.push(stream), { source_matches: ["x-1"] });
  expect(seen).toEqual(["s0", "s2", "s3"]);
  for (const source of sources.slice(0, 2))
    await expect(store.query(() => {}, { stream: source })).rejects.toMatchObject({
      name: "ERR_VALIDATION",
      details: expect.stringContaining("too complex"),
    });
});

test("any number of subscriptions is looked up, by statements that the server takes", async () => {
  const context = contextOf(await fixture.seeded());
  const positions = Array.from({ length: 30_000 }, (_, n) => ({
    ...{ stream: `s${n}`, source: "s", at: 0, correlatedAt: 1 },
  }));
  const sizes: number[] = [];
  const read = (_operation: string, { params = [] }: Query) => {
    sizes.push(typeof params === "function" ? params().length : params.length);
    return Promise.resolve([]);
  };
  const counting = { ...context, connections: Object.assign(Object.create(context.connections), { read }) };
  expect(await nextEvents(counting, positions)).toHaveLength(30_000);
  expect(Math.max(...sizes)).toBeLessThan(65_535);
});

test("a function for names that gives something else is refused, and says so", async () => {
  const store = await fixture.seeded();
  await store.subscribe([{ stream: "s", correlated_at: 1 }]);
  for (const wrong of ["Placed", 1, [1], ["a\0"], Promise.resolve(["Placed"])]) {
    const names = () => wrong as string[];
    await expect(new Admin(store).lag({ names })).rejects.toMatchObject({
      name: "ERR_VALIDATION",
      message: expect.stringContaining("what names() returns must be an array of strings"),
    });
  }
});

test("what is no store is refused, and what is meant is said", async () => {
  const admin = new Admin(await fixture.seeded());
  for (const wrong of [undefined, null, "store", 1, {}, () => {}]) {
    const none = wrong as object;
    for (const make of [() => new Admin(none), () => new PostgresIdempotency(none), () => instrument(none)])
      expect(make).toThrow(/^act-drizzle: a PostgresStore of this release is needed/);
    // It rejects, and does not throw.
    const moved = admin.move(none);
    await expect(moved).rejects.toThrow(/a PostgresStore of this release is needed/);
  }
});

test("an import of bytes says how to make text of them, and imports nothing", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [event()], meta);
  const admin = new Admin(store);
  const exported = Buffer.from(await text(Readable.from(admin.export())));
  const bytes = Readable.from([exported], { objectMode: false });
  await expect(admin.import(bytes, { mode: "replace" })).rejects.toThrow(
    /line 1: the source gives bytes instead of text: set the stream's encoding/,
  );
  await expect(admin.import(Readable.from([1]), { mode: "replace" })).rejects.toThrow(/gives number instead/);
  expect(await store.query(() => {})).toBe(1);
  const again = Readable.from([exported], { objectMode: false });
  expect((await admin.import(again.setEncoding("utf8"), { mode: "replace" })).events).toBe(1);
});

test("skip refuses what cannot be stored, and names the argument", async () => {
  const store = await fixture.seeded();
  const admin = new Admin(store);
  const given = { stream: "s", event: 1, by: "me", reason: "why" };
  for (const wrong of [{ reason: "a\0b" }, { by: "\ud800" }, { stream: "\0" }, { event: Number.NaN }])
    await expect(admin.skip({ ...given, ...wrong })).rejects.toThrow(ValidationError);
});

test("a limit is a whole number: anything else is refused with its name", async () => {
  const admin = new Admin(await fixture.seeded());
  const calls: Readonly<Record<string, (limit: number) => Promise<unknown>>> = {
    lag: (limit) => admin.lag({ limit }),
    leases: (limit) => admin.leases({ limit }),
    correlators: (limit) => admin.correlators({ limit }),
    blocked: (limit) => admin.blocked({ limit }),
    subscriptions: (limit) => admin.subscriptions({ limit }),
    streamNames: (limit) => admin.streamNames({ limit }),
    skipped: (limit) => admin.skipped({ limit }),
    events: (limit) => admin.events({ limit }),
    log: (limit) => admin.log({ limit }),
    trace: (limit) => admin.trace("c", { limit }),
  };
  for (const [name, call] of Object.entries(calls)) {
    for (const limit of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1.5, 1e300])
      await expect(call(limit), `${name} ${limit}`).rejects.toThrow(ValidationError);
    await expect(call(0), name).resolves.toBeDefined();
  }
});

// As a caller without types may.
const nothing = undefined as unknown as string;

test("the largest and the least number are taken where any other number is", async () => {
  const store = await fixture.seeded();
  await store.commit("x", [event("A")], meta);
  const admin = new Admin(store);
  const { MAX_SAFE_INTEGER: most, MIN_SAFE_INTEGER: least } = Number;
  expect(await admin.trace(meta.correlation, { limit: most })).toMatchObject({ events: 1, cut: false });
  expect(await admin.event(most)).toBeUndefined();
  expect(await admin.event(least)).toBeUndefined();
  expect(await admin.event(0)).toBeUndefined();
  expect(await admin.event(1)).toMatchObject({ stream: "x" });
  const { schema, table } = store.config;
  await fixture.sql`update ${fixture.sql(schema)}.${fixture.sql(table)} set id = ${most}::bigint`;
  expect(await admin.event(most)).toMatchObject({ id: most, stream: "x" });
});

test("an argument that is left out is refused by its name", async () => {
  const admin = new Admin(await fixture.seeded());
  for (const call of [
    () => admin.stream(nothing),
    () => admin.readers(nothing),
    () => admin.release({ stream: nothing }),
    () => admin.event(nothing as unknown as number),
  ])
    await expect(call()).rejects.toThrow(ValidationError);
});

test("a parameter that is left out fails at once, and the connection goes on", async () => {
  const store = await fixture.seeded({ max: 1 });
  const { connections } = contextOf(store);
  for (let turn = 0; turn < 2; turn++) {
    await expect(
      connections.read("admin", { text: "select $1::text as t", params: [nothing] }),
    ).rejects.toMatchObject({
      cause: { message: expect.stringContaining("an argument is missing") },
    });
    expect(await connections.read("admin", { text: "select 1 as one" })).toEqual([{ one: 1 }]);
  }
});
