/** Reading in the small: pages, limits beyond one page, and what is answered without asking. */
import { type Schemas, ValidationError } from "@rotorsoft/act";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { StoreConnections } from "../../src/postgres/index.ts";
import {
  append,
  appendMany,
  idsOf,
  meta,
  positions,
  read,
  restorable,
  restore,
  SNAPSHOT,
} from "../conformance/kit/scenario.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { deadPort } from "../postgres/proxy.ts";

const fixture = useDatabase();

test("a query that can match nothing takes no round trip, and refuses an invalid pattern all the same", async () => {
  const store = fixture.store({ host: "127.0.0.1", port: await deadPort() });
  expect(await store.query(() => {}, { names: [] })).toBe(0);
  expect(await store.query_stats([])).toEqual(new Map());
  for (const limit of [0, -1]) expect(await store.query_stats({}, { limit })).toEqual(new Map());
  expect(await store.truncate([])).toEqual(new Map());
  for (const count of [store.reset([]), store.unblock([]), store.defer([], 1)]) expect(await count).toBe(0);
  const bad = { stream: "(?=a)" };
  await expect(store.query(() => {}, { ...bad, names: [] })).rejects.toThrow(ValidationError);
  await expect(store.query_stats(bad, { limit: 0 })).rejects.toThrow(ValidationError);
});

test.each([
  ["query", (store: PostgresStore, stream: string) => store.query(() => {}, { stream }), "stream"],
  ["query_stats", (store: PostgresStore, stream: string) => store.query_stats({ stream }), "stream"],
  ["reset by stream", (store: PostgresStore, stream: string) => store.reset({ stream }), "stream"],
  ["reset by source", (store: PostgresStore, source: string) => store.reset({ source }), "source"],
] as const)("a pattern that %s refuses is told by the option's name", async (_, call, option) => {
  const store = fixture.store();
  await expect(call(store, "(?=a)")).rejects.toMatchObject({ target: option, payload: { pattern: "(?=a)" } });
  await expect(call(store, "(?=a)")).rejects.toMatchObject({
    details: expect.stringMatching(new RegExp(`exact match \\(${option}_exact\\)$`)),
  });
});

let many: PostgresStore;
beforeAll(async () => {
  many = new PostgresStore({ ...fixture.parts, table: "many" });
  await many.seed();
  await appendMany(many, "s", 6_500);
  await many.subscribe(
    Array.from({ length: 2_600 }, (_, i) => ({ stream: `t${i}`, source: i % 2 ? "odd" : "x+" })),
  );
  return () => many.dispose();
});

test.each([1, 1_999, 2_000, 2_001, 2_500, 3_000, 4_500, 6_500, 7_000])(
  "a limit of %i events is kept",
  async (limit) => {
    const wanted = Math.min(limit, 6_500);
    const ids = Array.from({ length: 6_500 }, (_, i) => i + 1);
    expect(idsOf(await read(many, { limit }))).toEqual(ids.slice(0, wanted));
    expect(idsOf(await read(many, { limit, backward: true }))).toEqual(ids.toReversed().slice(0, wanted));
    expect(idsOf(await read(many, { limit, after: 10, before: 3_000 }))).toEqual(
      ids.slice(10, 2_999).slice(0, limit),
    );
  },
);

test.each([2, 299, 300, 301, 302, 2_001])("a limit of %i subscriptions holds", async (limit) => {
  const names = Array.from({ length: 2_600 }, (_, i) => `t${i}`).sort();
  expect((await positions(many, { limit })).map(({ stream }) => stream)).toEqual(names.slice(0, limit));
  const hinted = await positions(many, { limit, source_matches: ["xx"] });
  const even = names.filter((name) => Number(name.slice(1)) % 2 === 0);
  expect(hinted.map(({ stream }) => stream)).toEqual(even.slice(0, limit));
});

/** A prefix of few events is read by their ids, one of more by the log's order. */
test.each([2, 299, 300, 301, 302, 2_001])(
  "a prefix of %i events finds each once, in order",
  async (count) => {
    const store = await fixture.seeded();
    await appendMany(store, "before", 2);
    await appendMany(store, "few-a", count - 1);
    await appendMany(store, "middle", 2);
    await appendMany(store, "few-b", 1);
    await appendMany(store, "few", 2);
    const ids = idsOf(await read(store, { stream: "^few-" }));
    expect(ids).toEqual([...Array.from({ length: count - 1 }, (_, i) => i + 3), count + 4]);
    expect(idsOf(await read(store, { stream: "^few-", backward: true }))).toEqual(ids.toReversed());
    expect(idsOf(await read(store, { stream: "^few-", after: 3, limit: 2 }))).toEqual(
      ids.slice(1).slice(0, 2),
    );
  },
);

test("a prefix that no string can follow finds the streams that begin with it", async () => {
  const store = await fixture.seeded();
  const last = "\u{10ffff}";
  await appendMany(store, "\u{10fffe}", 1);
  await appendMany(store, last, 1);
  await appendMany(store, `${last}${last}a`, 1);
  expect(idsOf(await read(store, { stream: `^${last}` }))).toEqual([2, 3]);
  expect(idsOf(await read(store, { stream: `^${last}${last}` }))).toEqual([3]);
  const stats = async (stream: string) => [...(await store.query_stats({ stream })).keys()];
  expect(await stats(`^${last}`)).toEqual([last, `${last}${last}a`]);
  expect(await stats(`^${last}${last}`)).toEqual([`${last}${last}a`]);
});

test("created_after and created_before are strict to the millisecond", async () => {
  const store = await fixture.seeded();
  await restore(
    store,
    [1_000, 1_001, 1_002].map((ms, version) => restorable("s", version, { created: new Date(ms) })),
  );
  const ids = async (query: object) => idsOf(await read(store, query));
  expect(await ids({ created_after: new Date(1_000) })).toEqual([2, 3]);
  expect(await ids({ created_before: new Date(1_002) })).toEqual([1, 2]);
  expect(await ids({ created_after: new Date(1_001), created_before: new Date(1_002) })).toEqual([]);
  expect(await ids({ created_after: new Date(-8.64e15) })).toEqual([1, 2, 3]);
  expect(await ids({ created_before: new Date(-8.64e15) })).toEqual([]);
});

test("bounds with a fraction are strict", async () => {
  const store = await fixture.seeded();
  await appendMany(store, "s", 3);
  const ids = async (query: object) => idsOf(await read(store, query));
  expect(await ids({ after: 1.5 })).toEqual([2, 3]);
  expect(await ids({ before: 2.5 })).toEqual([1, 2]);
  expect(await ids({ after: -0.5, before: 1.1 })).toEqual([1]);
  expect(await ids({ limit: 1.5 })).toEqual([1, 2]);
  const heads = async (before: number) => (await store.query_stats(["s"], { before })).get("s")?.head.id;
  expect([await heads(2.5), await heads(2), await heads(1)]).toEqual([2, 1, undefined]);
});

test("query_stats by exact name begins after `after` too, with all options together", async () => {
  const store = await fixture.seeded();
  await store.commit<Schemas>(
    "b",
    ["A", "B", "A", "C"].map((name) => ({ name, data: {} })),
    meta(),
  );
  for (const input of [{ stream: "b", stream_exact: true }, { stream: "^b$" }, ["b"], { stream: "^b" }, {}]) {
    const stats = async (after: string) => (await store.query_stats(input, { after })).size;
    expect([await stats("a"), await stats("b"), await stats("c")]).toEqual([1, 0, 0]);
    const options = { before: 4, exclude: ["B"], tail: true, count: true, names: true };
    const one = (await store.query_stats(input, options)).get("b");
    expect(one).toMatchObject({ head: { id: 3, version: 2 }, tail: { id: 1, version: 0 }, count: 2 });
    expect(Object.getOwnPropertyDescriptors(one?.names)).toEqual({
      A: { value: 2, writable: true, enumerable: true, configurable: true },
    });
  }
  const [head] = (await store.query_stats(["b"])).values();
  expect(Object.keys(head ?? {})).toEqual(["head"]);
});

test("a page of query_stats is one statement, however many events a stream has", async () => {
  const store = await fixture.seeded();
  for (const stream of ["a", "b", "c"]) await appendMany(store, stream, 2);
  const reads = vi.spyOn(StoreConnections.prototype, "read");
  onTestFinished(() => reads.mockRestore());
  expect([...(await store.query_stats({}, { limit: 2 })).keys()]).toEqual(["a", "b"]);
  expect(reads).toHaveBeenCalledTimes(1);
  expect((await store.query_stats({})).size).toBe(3);
  expect(reads).toHaveBeenCalledTimes(2);
});

test("null is no bound, no filter and no expected version", async () => {
  const store = await fixture.seeded();
  await appendMany(store, "s", 2);
  await store.commit<Schemas>("s", [{ name: "A", data: {} }], meta(), null as never);
  expect(idsOf(await read(store, null as never))).toEqual([1, 2, 3]);
  const options = "after before limit created_after created_before stream correlation backward with_snaps";
  const none = Object.fromEntries([...options.split(" "), "stream_exact"].map((name) => [name, null]));
  expect(idsOf(await read(store, none as never))).toEqual([1, 2, 3]);
  expect(await store.subscribe([], null as never, null as never)).toEqual({
    ...{ subscribed: 0, watermark: -1, correlated_at: -1 },
  });
  // A load that begins behind nothing begins at the snapshot.
  await append(store, "s", SNAPSHOT, "B");
  const load = { stream: "s", stream_exact: true, with_snaps: true };
  expect(idsOf(await read(store, { ...load, after: null as never }))).toEqual([4, 5]);
});

test("a null max_id is no bound", async () => {
  const store = await fixture.seeded();
  await append(store, "s", "A", SNAPSHOT, "B");
  const target = { stream: "s", before: new Date(Date.now() + 60_000), max_id: null as never };
  expect((await store.truncate([target])).get("s")).toMatchObject({ deleted: 1, committed: { id: 2 } });
});

test("a stream that is truncated in full is not windowed too, however old its snapshots are", async () => {
  const store = await fixture.seeded();
  const created = new Date(-1_000);
  await restore(
    store,
    ["A", SNAPSHOT, "B"].map((name, version) => restorable("s", version, { name, created })),
  );
  expect((await store.truncate([{ stream: "s" }])).get("s")).toMatchObject({ deleted: 3 });
});

test("a null meta of a truncate is the default", async () => {
  const store = await fixture.seeded();
  const { committed } = (await store.truncate([{ stream: "s", meta: null as never }])).get("s") ?? {};
  expect(committed?.meta).toEqual({ correlation: "", causation: {} });
});

test.each(["stream_exact", "tail", "count", "names"])(
  "a %s of query_stats that is no flag is refused",
  async (flag) => {
    const input = flag === "stream_exact" ? { stream: "s", [flag]: 1 } : { stream: "s" };
    await expect(fixture.store().query_stats(input as never, { [flag]: 1 as never })).rejects.toMatchObject({
      target: "query_stats",
      details: `${flag} must be true or false, not number`,
    });
  },
);

test("a truncate returns each seed with its id", async () => {
  const store = await fixture.seeded();
  for (const stream of ["a", "b", "c"]) await appendMany(store, stream, 2);
  const result = await store.truncate([
    { stream: "c" },
    { stream: "a", snapshot: { n: 1 } },
    { stream: "new" },
  ]);
  expect([...result].map(([stream, { deleted, committed }]) => [stream, deleted, committed.id])).toEqual([
    ["c", 2, 7],
    ["a", 2, 8],
    ["new", 0, 9],
  ]);
  const events = await read(store);
  expect(events.map(({ id, stream }) => [id, stream])).toEqual([
    [3, "b"],
    [4, "b"],
    [7, "c"],
    [8, "a"],
    [9, "new"],
  ]);
});

test("a limit beyond one page of query_streams holds", async () => {
  const store = await fixture.seeded();
  const streams = Array.from({ length: 1_200 }, (_, n) => ({ stream: `s-${String(n).padStart(4, "0")}` }));
  await store.subscribe(streams);
  const seen: string[] = [];
  const { count } = await store.query_streams(({ stream }) => void seen.push(stream), { limit: 1_100 });
  expect(count).toBe(1_100);
  expect(seen).toEqual(streams.slice(0, 1_100).map(({ stream }) => stream));
});
