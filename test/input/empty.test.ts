/** Nothing to do, and nobody there: answers, not errors, and no trace. */
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";
import { deadPort } from "../postgres/proxy.ts";
import { contents, fill } from "./log.ts";

const fixture = useDatabase();
const meta = { correlation: "", causation: {} };

test("empty lists do nothing", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  expect(await store.commit("s", [], meta)).toEqual([]);
  expect(await store.commit("s", [], meta, 77)).toEqual([]);
  expect(await store.ack([])).toEqual([]);
  expect(await store.block([])).toEqual([]);
  expect(await store.truncate([])).toEqual(new Map());
  expect(await store.query_stats([])).toEqual(new Map());
  expect(await store.query(() => {}, { names: [] })).toBe(0);
  for (const count of [store.reset([]), store.unblock([]), store.defer([], 1)]) expect(await count).toBe(0);
  expect(await store.subscribe([])).toMatchObject({ subscribed: 0, watermark: -1, correlated_at: 2 });
  expect(await store.query_streams(() => {}, { source_matches: [] })).toMatchObject({ count: 3 });
  expect(await contents(fixture, store)).toBe(before);
});

test("empty lists cost no round trip where a framework calls in every cycle", async () => {
  const store = fixture.store({ host: "127.0.0.1", port: await deadPort() });
  expect(await store.commit("s", [], meta)).toEqual([]);
  expect(await store.ack([])).toEqual([]);
  expect(await store.block([])).toEqual([]);
});

test("streams that nobody knows are no errors", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  const lease = { stream: "unknown", at: 1, by: "w", retry: 0, lagging: true };
  expect(await store.query(() => {}, { stream: "unknown", stream_exact: true, with_snaps: true })).toBe(0);
  expect(await store.query_stats(["unknown"], { count: true, tail: true })).toEqual(new Map());
  expect(await store.query_streams(() => {}, { stream: "unknown" })).toMatchObject({ count: 0 });
  expect(await store.ack([lease])).toEqual([]);
  expect(await store.block([{ ...lease, error: "e" }])).toEqual([]);
  for (const input of [["unknown"], { stream: "unknown", stream_exact: true }]) {
    expect(await store.reset(input)).toBe(0);
    expect(await store.unblock(input)).toBe(0);
    expect(await store.defer(input, 1)).toBe(0);
  }
  expect(await store.prioritize({ stream: "unknown" }, 9)).toBe(0);
  expect(await store.claim(5, 5, "w", 1_000, "unknown lane")).toEqual([]);
  expect(await store.forget_pii("unknown")).toBe(0);
  expect(await store.truncate([{ stream: "unknown", before: new Date() }])).toEqual(new Map());
  expect(await contents(fixture, store)).toBe(before);
});

test("an empty store answers every question", async () => {
  const store = await fixture.seeded();
  expect(await store.query(() => {})).toBe(0);
  expect(await store.query_stats({})).toEqual(new Map());
  expect(await store.query_streams(() => {})).toEqual({ maxEventId: -1, count: 0 });
  expect(await store.claim(5, 5, "w", 1_000)).toEqual([]);
  expect(await store.subscribe([])).toEqual({ subscribed: 0, watermark: -1, correlated_at: -1 });
  expect(await store.reset({})).toBe(0);
  await store.restore(async () => {});
  expect(await store.commit("s", [{ name: "A", data: {} }], meta)).toMatchObject([{ id: 1, version: 0 }]);
});

test("an empty name is a name", async () => {
  const store = await fixture.seeded();
  expect(await store.commit("", [{ name: "", data: {} }], meta, -1)).toMatchObject([
    { stream: "", name: "" },
  ]);
  expect(await store.query(() => {}, { names: [""] })).toBe(1);
  expect((await store.query_stats([""])).get("")).toMatchObject({ head: { version: 0 } });
  expect(await store.subscribe([{ stream: "", source: "", lane: "", correlated_at: 1 }])).toMatchObject({
    subscribed: 1,
  });
  expect(await store.claim(1, 0, "", 1_000, "")).toMatchObject([{ stream: "", by: "", lane: "" }]);
});
