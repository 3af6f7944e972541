/** Text: what PostgreSQL cannot store is refused wherever it stands; everything else goes through as it is. */
import { StoreError, ValidationError } from "@rotorsoft/act";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { contents, fill, outcomeOf, shown } from "./log.ts";
import { slots } from "./slots.ts";

const fixture = useDatabase();
const meta = { correlation: "", causation: {} };
let store: PostgresStore;
let before: string;

beforeAll(async () => {
  store = new PostgresStore({ ...fixture.parts, table: "texts" });
  await store.seed();
  await fill(store);
  return () => store.dispose();
});
beforeEach(async () => {
  before = await contents(fixture, store);
});

const unstorable = ["\0", "a\0b", "\ud800", "x\udc00y", "\udc00\ud800"];
const texts = slots.filter(({ kind }) => kind === "text" || kind === "text?" || kind === "pattern?");
const lists = slots.filter(({ kind }) => kind === "texts?" || kind === "input");

describe("NUL and half characters are refused, and nothing is written", () => {
  test.each(texts)("as $path of $verb", async ({ call }) => {
    for (const text of unstorable) {
      const outcome = await outcomeOf(() => call(store, text as never));
      expect("error" in outcome && outcome.error, shown(text)).toBeInstanceOf(ValidationError);
    }
    expect(await contents(fixture, store)).toBe(before);
  });

  test.each(lists)("in $path of $verb", async ({ call }) => {
    for (const text of unstorable) {
      const outcome = await outcomeOf(() => call(store, ["s", text] as never));
      expect("error" in outcome && outcome.error, shown(text)).toBeInstanceOf(ValidationError);
    }
    expect(await contents(fixture, store)).toBe(before);
  });

  test.each(["data", "pii", "meta", "snapshot"])(
    "in keys and values of %s, naming the stream and the events",
    async (part) => {
      for (const text of unstorable)
        for (const value of [
          { text },
          { [text]: 1 },
          { list: [{ text }] },
          { nested: { [`k${text}`]: {} } },
        ]) {
          const fine = { name: "Fine", data: {} };
          const calls: Record<string, () => Promise<unknown>> = {
            data: () => store.commit("marked", [fine, { name: "Bad", data: value }], meta),
            pii: () => store.commit("marked", [fine, { name: "Bad", data: {}, pii: value }], meta),
            meta: () => store.commit("marked", [fine, { name: "Bad", data: {} }], value as never),
            snapshot: () => store.truncate([{ stream: "s" }, { stream: "marked", snapshot: value }]),
          };
          const outcome = await outcomeOf(calls[part] ?? (async () => {}));
          const error = "error" in outcome ? outcome.error : outcome;
          expect(error, shown(value)).toBeInstanceOf(ValidationError);
          if (!(error instanceof ValidationError)) continue;
          expect(error.details).toMatchObject({ stream: "marked" });
          if (part !== "snapshot") expect(error.details).toMatchObject({ events: ["Fine", "Bad"] });
        }
      expect(await contents(fixture, store)).toBe(before);
    },
  );

  test("in an event that is restored, and everything is as it was", async () => {
    for (const text of unstorable)
      for (const over of [
        { stream: text },
        { name: text },
        { data: { text } },
        { pii: { text } },
        { meta: { text } },
      ]) {
        const fine = { id: 1, stream: "r", version: 0, created: new Date(), name: "Fine", data: {}, meta };
        const restored = store.restore(async (insert) => {
          await insert(fine);
          await insert({ ...fine, version: 1, ...over } as never);
        });
        await expect(restored).rejects.toBeInstanceOf(ValidationError);
      }
    expect(await contents(fixture, store)).toBe(before);
  });
});

test("an escaped NUL and an escaped half character are text like any other", async () => {
  const data = { a: "\\u0000", b: "\\\\u0000", c: "\\ud800", d: "\\\\\\udc00", "\\u0000": "\\" };
  const [committed] = await store.commit("escaped", [{ name: "\\u0000", data }], meta);
  const seen: unknown[] = [];
  await store.query((event) => seen.push(event), { stream: "escaped", stream_exact: true });
  expect(seen).toEqual([committed]);
});

const awkward = [
  "'",
  '"',
  "\\",
  "{}",
  "{a,b}",
  "NULL",
  "null",
  '","',
  "a,b",
  "$1",
  "%s _ %",
  "--",
  "; drop table texts; --",
  "\n\r\t",
  "\u001e",
  "\u001f\u007f",
  "😀 é e\u0301 漢字 \u2028\u2029\ufeff\uffff",
  " leading and trailing ",
  "__proto__",
  "constructor",
];

test("any other text may name a stream, an event, a source, a lane and a holder", async () => {
  const own = await fixture.seeded();
  for (const text of awkward) {
    const [committed] = await own.commit(
      text,
      [{ name: text, data: { [text]: text }, pii: { [text]: text } }],
      meta,
    );
    expect(committed).toMatchObject({ stream: text, name: text });
    const seen: unknown[] = [];
    const filter = { stream: text, stream_exact: true, names: [text] };
    expect(await own.query((event) => seen.push(event), filter)).toBe(1);
    expect(seen).toEqual([committed]);
    const stats = await own.query_stats([text], { names: true });
    expect(Object.entries(stats.get(text)?.names ?? {})).toEqual([[text, 1]]);
    await own.subscribe([{ stream: text, source: text, lane: text, correlated_at: 1 }], 1, {
      key: text,
      by: text,
      millis: 10,
    });
    const [lease] = await own.claim(1, 0, text, 60_000, text);
    expect(lease).toMatchObject({ stream: text, source: text, lane: text, by: text });
    if (lease)
      expect(await own.block([{ ...lease, error: text }])).toMatchObject([{ stream: text, error: text }]);
    expect(await own.unblock({ source: text, source_exact: true, lane: text })).toBe(1);
    expect(await own.forget_pii(text)).toBe(1);
  }
  const names: string[] = [];
  await own.query_streams((position) => names.push(position.stream));
  expect(names).toEqual([...awkward].sort());
  expect(await own.truncate(awkward.map((stream) => ({ stream })))).toHaveProperty("size", awkward.length);
});

test("names of 200 characters of any kind are kept whole, and told apart by the last", async () => {
  const own = await fixture.seeded();
  for (const one of ["x", "é", "漢", "😀", "_", "%"]) {
    const base = one.repeat(200 / one.length - 1);
    const [a, b] = [`${base}a`, `${base}b`];
    await own.commit(a, [{ name: a, data: {} }], meta, -1);
    await own.commit(b, [{ name: b, data: {} }], meta, -1);
    expect(await own.query(() => {}, { stream: `^${a}$`, names: [a] })).toBe(1);
    await own.subscribe([a, b].map((stream) => ({ stream, source: stream, lane: stream, correlated_at: 1 })));
    expect(await own.claim(5, 0, a, 60_000, b)).toMatchObject([{ stream: b, by: a }]);
    expect(await own.subscribe([], 1, { key: a, by: b, millis: 10 })).toMatchObject({ correlating: true });
  }
});

test("a name too long for an index is refused as too long, fails alone, and leaves nothing", async () => {
  const own = await fixture.seeded();
  // Random, for PostgreSQL compresses what it can.
  const long = Array.from({ length: 4_000 }, () => Math.random().toString(36)[2] ?? "x").join("");
  const neighbours = [
    own.commit("left", [{ name: "A", data: {} }], meta),
    own.commit("right", [{ name: "A", data: {} }], meta),
  ];
  const calls: Record<string, () => Promise<unknown>> = {
    commit: () => own.commit(long, [{ name: "A", data: {} }], meta),
    subscribe: () => own.subscribe([{ stream: "short" }, { stream: long }]),
    truncate: () => own.truncate([{ stream: "left" }, { stream: long }]),
  };
  for (const [verb, call] of Object.entries(calls)) {
    const outcome = await outcomeOf(call);
    const error = "error" in outcome ? outcome.error : outcome;
    expect(error, verb).toBeInstanceOf(StoreError);
    expect(error, verb).toMatchObject({
      cause: { code: "54000", message: expect.stringContaining("2,700 bytes") },
    });
  }
  expect((await Promise.all(neighbours)).flat()).toHaveLength(2);
  expect((await fixture.rows(own)).map(({ name }) => name)).toEqual(["A", "A"]);
  expect(await own.query_streams(() => {})).toMatchObject({ count: 0 });
});
