/** Large input: it goes through whole, or is refused whole; and nobody else waits for long. */
import { inspect } from "node:util";
import { StoreError, ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";
import { outcomeOf } from "./log.ts";

const fixture = useDatabase();
const meta = { correlation: "", causation: {} };
const TEN_MB = 10 * 1024 * 1024;

/** Text that is neither compressible to nothing nor one byte per character throughout. */
function prose(length: number): string {
  const words = Array.from({ length: 5_000 }, (_, n) => `${(n * 2_654_435_761) % 2 ** 32}é"\\漢 `).join("");
  return words.repeat(Math.ceil(length / words.length)).slice(0, length);
}
const large = prose(TEN_MB);

/** Compared by hand: a failed matcher would print it. */
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

test("10 MB of data are committed and read back", async () => {
  const store = await fixture.seeded();
  const [committed] = await store.commit("s", [{ name: "Large", data: { large } }], meta);
  const seen: { data: unknown }[] = [];
  expect(await store.query((one) => seen.push(one))).toBe(1);
  expect(same(seen[0]?.data, { large })).toBe(true);
  expect(same(committed?.data, { large })).toBe(true);
});

test("10 MB of pii are encrypted, read back and forgotten", async () => {
  const store = await fixture.seeded({ pii_encryption: { key: new Uint8Array(32).fill(7) } });
  await store.commit("s", [{ name: "Large", data: {}, pii: { large } }], meta);
  const seen: { pii?: unknown }[] = [];
  await store.query((one) => seen.push(one));
  expect(same(seen[0]?.pii, { large })).toBe(true);
  expect(await store.forget_pii("s")).toBe(1);
});

test("10 MB of snapshot are the seed of a truncated stream, and are restored", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [{ name: "A", data: {} }], meta);
  const result = await store.truncate([{ stream: "s", snapshot: { large } }]);
  expect(result.get("s")?.deleted).toBe(1);
  const seen: { data: unknown }[] = [];
  await store.query((event) => seen.push(event), { stream: "s", stream_exact: true, with_snaps: true });
  expect(same(seen[0]?.data, { large })).toBe(true);
  await store.restore(async (insert) => {
    await insert({
      id: 9,
      stream: "r",
      version: 0,
      created: new Date(),
      name: "Large",
      data: { large },
      meta,
    });
  });
  expect(await fixture.rows(store)).toEqual([{ stream: "r", version: 0, name: "Large" }]);
});

test("10 MB in 10,000 events of one commit land together", async () => {
  const store = await fixture.seeded();
  const events = Array.from({ length: 10_000 }, (_, n) => ({
    name: `E${n % 7}`,
    data: { n, text: large.slice(n, n + 1_000) },
  }));
  const committed = await store.commit("s", events, meta, -1);
  expect(committed.at(-1)).toMatchObject({ version: 9_999 });
  let next = 0;
  await store.query((event) => {
    if (!same(event.data, events[next++]?.data)) throw new Error(`event ${next} came back changed`);
  });
  expect(next).toBe(10_000);
});

test("large commits beside small ones keep their order and fail nobody", async () => {
  const store = await fixture.seeded();
  const sizes = [1, TEN_MB / 2, 1, TEN_MB / 2, 1, 1];
  const commits = sizes.map((size, n) =>
    store.commit("s", [{ name: `E${n}`, data: { text: large.slice(0, size) } }], meta),
  );
  expect((await Promise.all(commits)).flat().map(({ version }) => version)).toEqual([0, 1, 2, 3, 4, 5]);
  expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["E0", "E1", "E2", "E3", "E4", "E5"]);
});

test("an error of 10 MB blocks its subscription all the same", async () => {
  const store = await fixture.seeded();
  await store.subscribe([{ stream: "t", correlated_at: 1 }]);
  const [lease] = await store.claim(1, 0, "w", 60_000);
  expect(lease && (await store.block([{ ...lease, error: large }]))).toHaveLength(1);
  const seen: string[] = [];
  await store.query_streams(({ error }) => seen.push(error));
  expect(seen[0] === large).toBe(true);
});

test("10,000 streams at once are subscribed, acked, listed, reset and asked for", async () => {
  const store = await fixture.seeded();
  const names = Array.from({ length: 10_000 }, (_, n) => `stream-${String(n).padStart(6, "0")}`);
  const entries = names.map((stream) => ({ stream, source: stream, correlated_at: 5 }));
  expect(await store.subscribe([...entries, ...entries])).toMatchObject({ subscribed: 10_000 });
  const leases = await store.claim(1_000, 0, "w", 60_000);
  expect(leases).toHaveLength(1_000);
  const acks = names.map((stream) => ({ stream, by: "w", at: 5, retry: 0, lagging: true }));
  expect(await store.ack(acks)).toHaveLength(1_000);
  expect(await store.query_streams(() => {}, { limit: 60_000 })).toMatchObject({ count: 10_000 });
  expect(await store.reset(names)).toBe(10_000);
  expect(await store.query_stats(names)).toEqual(new Map());
  expect(await store.query(() => {}, { names })).toBe(0);
});

test("an object nested beyond measure is stored or refused, and the next commit goes through", async () => {
  const store = await fixture.seeded();
  for (const depth of [1_000, 20_000]) {
    let data: Record<string, unknown> = { at: new Date(0) };
    for (let i = 0; i < depth; i++) data = { data };
    const outcome = await outcomeOf(() => store.commit("deep", [{ name: "Deep", data }], meta));
    if ("error" in outcome) {
      const typed = outcome.error instanceof ValidationError || outcome.error instanceof StoreError;
      expect(typed, inspect(outcome.error)).toBe(true);
    } else expect(await store.query(() => {}, { stream: "deep", limit: 1 })).toBe(1);
  }
  expect(await store.commit("flat", [{ name: "Flat", data: {} }], meta)).toHaveLength(1);
});

test("a pattern as long as a page of text is read without holding up the process", async () => {
  const store = await fixture.seeded();
  const patterns = [
    "a".repeat(20_000),
    `^${"ab.*".repeat(5_000)}$`,
    `^(${"a|".repeat(10_000)}b)$`,
    "[a-z]".repeat(4_000),
  ];
  for (const stream of patterns) {
    const start = performance.now();
    // What matters is that no other request waits for this one.
    const outcome = await outcomeOf(() => store.query(() => {}, { stream }));
    const blocked = performance.now() - start;
    if ("error" in outcome)
      expect(outcome.error instanceof ValidationError || outcome.error instanceof StoreError).toBe(true);
    expect(blocked, `${stream.slice(0, 10)}…`).toBeLessThan(1_000);
  }
});
