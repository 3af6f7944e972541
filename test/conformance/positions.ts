/** query_streams: what dashboards and the framework's start read. */
import { expect } from "vitest";
import {
  append,
  arrange,
  at,
  blocked,
  leaseOf,
  pending,
  positionOf,
  positions,
  streamsOf,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

export const positionsOfStreams = section("query_streams", (line) => {
  line("R1", "positions come ordered by name, each with all its fields", async ({ store }) => {
    await arrange(store, [{ stream: "b", source: "src", at: 4, priority: 2, lane: "slow" }, { stream: "a" }]);
    await leaseOf(store, "b", "w1");
    const rows = await positions(store);
    expect(streamsOf(rows)).toEqual(["a", "b"]);
    expect(rows[1]).toEqual({
      stream: "b",
      source: "src",
      at: 4,
      retry: 0,
      blocked: false,
      error: "",
      priority: 2,
      leased_by: "w1",
      leased_until: expect.any(Date),
      lane: "slow",
      deferred_at: undefined,
      correlated_at: 1_000_000,
    });
  });

  line("R1", "the result tells the head of the log and how many were delivered", async ({ store }) => {
    expect(await store.query_streams(() => {})).toEqual({ maxEventId: -1, count: 0 });
    const last = at(await append(store, "s", "A", "B", "C"), -1);
    await store.subscribe([{ stream: "a" }, { stream: "b" }]);
    expect(await store.query_streams(() => {})).toEqual({ maxEventId: last.id, count: 2 });
    expect(await store.query_streams(() => {}, { stream: "absent" })).toEqual({
      maxEventId: last.id,
      count: 0,
    });
    expect(await store.query_streams(() => {}, { limit: 0 })).toEqual({ maxEventId: last.id, count: 0 });
  });

  line("R1", "the head of the log follows a truncate", async ({ store }) => {
    await append(store, "s", "A", "B");
    const { committed } = (await store.truncate([{ stream: "s" }])).get("s") ?? {};
    expect((await store.query_streams(() => {})).maxEventId).toBe(committed?.id);
  });

  line("R1", "the default limit is 100", async ({ store }) => {
    const names = Array.from({ length: 103 }, (_, n) => `s${String(n).padStart(3, "0")}`);
    await store.subscribe(names.map((stream) => ({ stream })));
    expect(streamsOf(await positions(store))).toEqual(names.slice(0, 100));
    expect(streamsOf(await positions(store, {}))).toEqual(names.slice(0, 100));
    expect(streamsOf(await positions(store, { limit: undefined }))).toEqual(names.slice(0, 100));
    expect(streamsOf(await positions(store, { limit: 500 }))).toEqual(names);
  });

  line("R1", "limit 0 returns none, and so does −1", async ({ store }) => {
    await store.subscribe([{ stream: "a" }]);
    expect(await positions(store, { limit: 0 })).toEqual([]);
    expect(await positions(store, { limit: -1 })).toEqual([]);
  });

  line("R1", "an empty stream is no filter, as for query", async ({ store }) => {
    await store.subscribe([{ stream: "a" }, { stream: "b" }]);
    expect(await positions(store, { stream: "" })).toHaveLength(2);
  });

  line("R1", "after is exclusive and need not exist", async ({ store }) => {
    await store.subscribe(["a", "b", "c"].map((stream) => ({ stream })));
    expect(streamsOf(await positions(store, { after: "a" }))).toEqual(["b", "c"]);
    expect(streamsOf(await positions(store, { after: "aa" }))).toEqual(["b", "c"]);
    expect(streamsOf(await positions(store, { after: "" }))).toEqual(["a", "b", "c"]);
    expect(await positions(store, { after: "c" })).toEqual([]);
  });

  line("R1", "pages by after and limit deliver each position once", async ({ store }) => {
    const names = Array.from({ length: 25 }, (_, n) => `s${n}`);
    await store.subscribe(names.map((stream) => ({ stream, lane: "fast" })));
    const seen: string[] = [];
    for (let page = [""]; page.length; ) {
      page = streamsOf(await positions(store, { after: seen.at(-1), limit: 4, lane: "fast" }));
      seen.push(...page);
    }
    expect(seen).toEqual([...names].sort());
  });

  line("R1", "stream and source filter by pattern or exactly", async ({ store }) => {
    await store.subscribe([
      { stream: "order-1", source: "src" },
      { stream: "order-10", source: "src2" },
      { stream: "my-order", source: "Src" },
      { stream: "Order" },
    ]);
    const found = async (query: Parameters<typeof positions>[1]) => streamsOf(await positions(store, query));
    expect(await found({ stream: "^order-1" })).toEqual(["order-1", "order-10"]);
    expect(await found({ stream: "order-1", stream_exact: true })).toEqual(["order-1"]);
    expect(await found({ source: "src" })).toEqual(["order-1", "order-10"]);
    expect(await found({ source: "src", source_exact: true })).toEqual(["order-1"]);
    expect(await found({ stream: "order", source: "2$" })).toEqual(["order-10"]);
    expect(await found({ source: ".*" })).toEqual(["my-order", "order-1", "order-10"]);
  });

  line("R1", "blocked and lane filter, alone and together", async ({ store }) => {
    await blocked(store, "bad");
    await store.subscribe([{ stream: "good" }, { stream: "slow", lane: "slow" }]);
    const found = async (query: Parameters<typeof positions>[1]) => streamsOf(await positions(store, query));
    expect(await found({ blocked: true })).toEqual(["bad"]);
    expect(await found({ blocked: false })).toEqual(["good", "slow"]);
    expect(await found({ lane: "slow" })).toEqual(["slow"]);
    expect(await found({ lane: "default", blocked: false })).toEqual(["good"]);
    expect(await found({ lane: "default", blocked: true })).toEqual(["bad"]);
    expect(await found({ lane: "Slow" })).toEqual([]);
  });

  line("R1", "a filter is applied before the limit", async ({ store }) => {
    await store.subscribe([{ stream: "a" }, { stream: "b" }, { stream: "c", lane: "slow" }, { stream: "d" }]);
    expect(streamsOf(await positions(store, { lane: "slow", limit: 1 }))).toEqual(["c"]);
  });

  line("R1", "reading positions changes none", async ({ store }) => {
    await pending(store, "a");
    await leaseOf(store, "a");
    const before = await positionOf(store, "a");
    await positions(store, { source_matches: ["x"] });
    expect(await positionOf(store, "a")).toEqual(before);
  });

  line(
    "R2",
    "source_matches keeps the subscriptions that would consume one of the names",
    async ({ store }) => {
      await store.subscribe([
        { stream: "literal", source: "order-1" },
        { stream: "prefix", source: "^order-" },
        { stream: "either", source: "^(order-1|user-1)$" },
        { stream: "substring", source: "rder" },
        { stream: "other", source: "user-9" },
        { stream: "upper", source: "Order" },
      ]);
      const matching = async (...names: string[]) =>
        streamsOf(await positions(store, { source_matches: names }));
      expect(await matching("order-1")).toEqual(["either", "literal", "prefix", "substring"]);
      expect(await matching("order-2")).toEqual(["prefix", "substring"]);
      expect(await matching("user-1", "absent")).toEqual(["either"]);
      expect(await matching("absent")).toEqual([]);
    },
  );

  line("R2", "a subscription without source, or with an empty one, always qualifies", async ({ store }) => {
    await store.subscribe([
      { stream: "null" },
      { stream: "empty", source: "" },
      { stream: "some", source: "^x$" },
    ]);
    expect(streamsOf(await positions(store, { source_matches: ["absent"] }))).toEqual(["empty", "null"]);
    expect(streamsOf(await positions(store, { source_matches: ["x"] }))).toEqual(["empty", "null", "some"]);
  });

  line("R2", "no names are no constraint", async ({ store }) => {
    await store.subscribe([{ stream: "a", source: "src" }, { stream: "b" }]);
    expect(streamsOf(await positions(store, { source_matches: [] }))).toEqual(["a", "b"]);
  });

  line("R2", "source_matches goes with the other filters and the pages", async ({ store }) => {
    await store.subscribe([
      { stream: "a", source: "^o", lane: "slow" },
      { stream: "b", source: "^o" },
      { stream: "c", source: "^u" },
      { stream: "d", source: "^o" },
    ]);
    const query = { source_matches: ["order"], lane: "default", limit: 1 };
    expect(streamsOf(await positions(store, query))).toEqual(["b"]);
    expect(streamsOf(await positions(store, { ...query, after: "b" }))).toEqual(["d"]);
  });

  line("R2", "a name with metacharacters is a name", async ({ store }) => {
    await store.subscribe([
      { stream: "dot", source: "^a\\.b$" },
      { stream: "plain", source: "ab" },
    ]);
    expect(streamsOf(await positions(store, { source_matches: ["a.b"] }))).toEqual(["dot"]);
    expect(streamsOf(await positions(store, { source_matches: ["a(b", "[", "a%b"] }))).toEqual([]);
  });

  const mixed = [
    "b",
    "B",
    "a",
    "A",
    "_",
    "-",
    "1",
    "10",
    "2",
    "é",
    "e",
    "z",
    "Z",
    "ä",
    "日",
    "a b",
    "a-b",
    "a_b",
    "aB",
    "ab",
  ];

  line("R3", "positions sort by code units, in mixed case and beyond ASCII", async ({ store }) => {
    await store.subscribe(mixed.map((stream) => ({ stream })));
    expect(streamsOf(await positions(store))).toEqual([...mixed].sort());
  });

  line("R3", "no name is skipped or repeated by pages of one", async ({ store }) => {
    await store.subscribe(mixed.map((stream) => ({ stream })));
    const seen: string[] = [];
    for (let page = [""]; page.length; ) {
      page = streamsOf(await positions(store, { after: seen.at(-1), limit: 1 }));
      seen.push(...page);
    }
    expect(seen).toEqual([...mixed].sort());
  });

  line("R3", "stats sort and page by code units too", async ({ store }) => {
    for (const stream of mixed) await append(store, stream, "A");
    expect([...(await store.query_stats({})).keys()]).toEqual([...mixed].sort());
    const seen: string[] = [];
    for (let page = [""]; page.length; ) {
      page = [...(await store.query_stats({}, { after: seen.at(-1), limit: 3 })).keys()];
      seen.push(...page);
    }
    expect(seen).toEqual([...mixed].sort());
  });

  line("R2", "each metacharacter makes a source a pattern", async ({ store }) => {
    const sources = ["a|b", "a.c", "ab*c", "ab+c", "ab?c", "(abc)", "[a]bc", "ab{1}c", "a\\bc", "abc$"];
    await store.subscribe(sources.map((source) => ({ stream: source, source })));
    expect(streamsOf(await positions(store, { source_matches: ["abc"] }))).toEqual(
      sources.filter((source) => RegExp(source).test("abc")).sort(),
    );
  });
});
