/** Claims and leases in the small: orders within one answer, and what may be left out of a lease. */
import type { Lease } from "@rotorsoft/act";
import { expect, test, vi } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { arrange, pending, positionOf, streamsOf } from "../conformance/kit/scenario.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { deadPort } from "../postgres/proxy.ts";

const fixture = useDatabase();

async function leased(store: PostgresStore, stream = "s"): Promise<Lease> {
  await pending(store, stream);
  const [lease] = await store.claim(1, 0, "w", 60_000);
  if (!lease) throw new Error("no lease");
  return lease;
}

test("a claim of nothing costs no round trip", async () => {
  const store = fixture.store({ host: "127.0.0.1", port: await deadPort() });
  for (const [lagging, leading] of [
    [0, 0],
    [-1, 0],
    [0, -5],
    [0.9, 0.9],
  ] as const)
    expect(await store.claim(lagging, leading, "w", 1_000)).toEqual([]);
});

test("with null as the lane every lane is claimed", async () => {
  const store = await fixture.seeded();
  await store.subscribe([
    { stream: "a", lane: "slow", correlated_at: 1 },
    { stream: "b", correlated_at: 1 },
  ]);
  expect(await store.claim(2, 0, "w", 1_000, null as never)).toHaveLength(2);
});

test("streams picked by age come in order of age, after those picked by priority", async () => {
  const store = await fixture.seeded();
  const rows = Array.from({ length: 8 }, (_, i) => ({ stream: `s${i}`, at: i, priority: i }));
  await arrange(store, rows);
  const leases = await store.claim(8, 0, "w", 1_000);
  expect(streamsOf(leases)).toEqual(["s7", "s6", "s5", "s4", "s3", "s2", "s0", "s1"]);
});

test("leading streams come last, the one that is furthest ahead first", async () => {
  const store = await fixture.seeded();
  const rows = Array.from({ length: 12 }, (_, i) => ({ stream: `s${String(i).padStart(2, "0")}`, at: i }));
  await arrange(store, rows);
  const leases = await store.claim(8, 3, "w", 1_000);
  const behind = ["s00", "s01", "s02", "s03", "s04", "s05", "s06", "s07"];
  expect(leases.map(({ stream, lagging }) => [stream, lagging])).toEqual([
    ...behind.map((stream) => [stream, true]),
    ...["s11", "s10", "s09"].map((stream) => [stream, false]),
  ]);
});

test("a stream that is picked twice keeps the earlier place", async () => {
  const store = await fixture.seeded();
  await arrange(store, [
    { stream: "urgent", at: 5, priority: 9 },
    { stream: "old", at: 1 },
  ]);
  const leases = await store.claim(2, 1, "w", 1_000);
  expect(leases.map(({ stream, lagging }) => [stream, lagging])).toEqual([
    ["urgent", true],
    ["old", true],
  ]);
});

test("an ack whose due is null does not defer", async () => {
  const store = await fixture.seeded();
  const lease = await leased(store);
  expect(await store.ack([{ ...lease, at: 7, due: null as never }])).toMatchObject([
    { stream: "s", at: 7, retry: -1, lane: "default" },
  ]);
  expect(await positionOf(store, "s")).not.toHaveProperty("deferred_at");
});

test("a deferred ack without retry starts again at -1", async () => {
  const store = await fixture.seeded();
  const lease = await leased(store);
  expect(await store.ack([{ ...lease, retry: undefined as never, due: Date.now() + 60_000 }])).toEqual([]);
  expect(await positionOf(store, "s")).toMatchObject({ retry: -1 });
});

test.each([
  ["nothing", undefined, ""],
  ["null", null, ""],
  ["a number", 5, "5"],
  ["an Error", new TypeError("why"), "TypeError: why"],
  ["text with a NUL and half a character", "a\0b\ud800c", "a\ufffdb\ufffdc"],
  ["an object without a prototype", Object.create(null), "an error that has no text"],
])("%s as the error of a block is kept as text", async (_, error, text) => {
  const store = await fixture.seeded();
  const lease = await leased(store);
  expect(await store.block([{ ...lease, error: error as never }])).toMatchObject([{ error: text }]);
  expect(await positionOf(store, "s")).toMatchObject({ blocked: true, error: text });
});

test("of two leases with the same stream and holder the first counts, and of two holders each", async () => {
  const store = await fixture.seeded();
  const lease = await leased(store);
  const twice = [
    { ...lease, at: 3 },
    { ...lease, at: 4 },
    { ...lease, by: "another", at: 5 },
  ];
  expect(await store.ack(twice)).toMatchObject([{ at: 3, by: "w" }]);
  expect(await positionOf(store, "s")).toMatchObject({ at: 3 });
});

test("a deferred stream is due by this process's clock if that is up to a minute ahead", async () => {
  const store = await fixture.seeded();
  const now = Date.now();
  const ahead = (millis: number) => vi.spyOn(Date, "now").mockReturnValue(now + millis);
  const deferred = async (millis: number) => {
    await store.defer(["s"], now + millis);
    const [lease] = await store.claim(1, 0, "w", 0);
    return lease === undefined;
  };
  await pending(store, "s");
  try {
    ahead(30_000);
    // A timer may fire a millisecond before its time.
    expect(await deferred(30_001)).toBe(false);
    expect(await deferred(30_002)).toBe(true);
    ahead(86_400_000);
    expect(await deferred(59_000)).toBe(false);
    expect(await deferred(120_000)).toBe(true);
    ahead(-86_400_000);
    expect(await deferred(-1)).toBe(false);
    expect(await deferred(30_000)).toBe(true);
  } finally {
    vi.restoreAllMocks();
  }
});
