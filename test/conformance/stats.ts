import { expect } from "vitest";
import { tablesOf } from "./kit/postgres.ts";
import { append, appendOne, at, found, idsOf, message, meta, SNAPSHOT, TOMBSTONE } from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

export const stats = section("query_stats", (line) => {
  line("R4", "the head is the last event, complete", async ({ store }) => {
    await append(store, "s", "A");
    const [last] = await store.commit("s", [message("B", { n: 1, at: new Date(5) })], meta("c"));
    const { head } = found((await store.query_stats(["s"])).get("s"));
    expect(head).toMatchObject({
      id: last?.id,
      stream: "s",
      version: 1,
      name: "B",
      data: { n: 1, at: new Date(5) },
      meta: meta("c"),
      created: last?.created,
    });
  });

  line("R4", "tail, count and names are there only when asked", async ({ store }) => {
    await append(store, "s", "A", "B", "A");
    const of = async (options: Parameters<typeof store.query_stats>[1]) =>
      found((await store.query_stats(["s"], options)).get("s"));
    const bare = await of(undefined);
    expect([bare.tail, bare.count, bare.names]).toEqual([undefined, undefined, undefined]);
    const tail = await of({ tail: true });
    expect([tail.tail?.name, tail.count, tail.names]).toEqual(["A", undefined, undefined]);
    const count = await of({ count: true });
    expect([count.tail, count.count, count.names]).toEqual([undefined, 3, undefined]);
    const names = await of({ names: true });
    expect([names.tail, names.count, names.names]).toEqual([undefined, undefined, { A: 2, B: 1 }]);
    const all = await of({ tail: true, count: true, names: true });
    expect(all).toMatchObject({
      tail: { version: 0 },
      head: { version: 2 },
      count: 3,
      names: { A: 2, B: 1 },
    });
  });

  line("R4", "a stream of one event has it as head and tail", async ({ store }) => {
    const [event] = await append(store, "s", "A");
    const { head, tail } = found((await store.query_stats(["s"], { tail: true })).get("s"));
    expect([head.id, tail?.id]).toEqual([event?.id, event?.id]);
  });

  line("R4", "framework events count, unless excluded", async ({ store }) => {
    await append(store, "s", SNAPSHOT, "A", SNAPSHOT, "B", TOMBSTONE);
    const options = { tail: true, count: true, names: true };
    const all = found((await store.query_stats(["s"], options)).get("s"));
    expect(all).toMatchObject({ head: { name: TOMBSTONE }, tail: { name: SNAPSHOT }, count: 5 });
    expect(all.names).toEqual({ [SNAPSHOT]: 2, A: 1, B: 1, [TOMBSTONE]: 1 });
    const exclude = [SNAPSHOT, TOMBSTONE];
    const own = found((await store.query_stats(["s"], { ...options, exclude })).get("s"));
    expect(own).toMatchObject({ head: { name: "B" }, tail: { name: "A" }, count: 2, names: { A: 1, B: 1 } });
  });

  line(
    "R4",
    "exclude also works without count and names, and an empty one excludes nothing",
    async ({ store }) => {
      await append(store, "s", "A", "B", "C");
      const only = found((await store.query_stats(["s"], { exclude: ["C", "A"], tail: true })).get("s"));
      expect([only.head.name, only.tail?.name]).toEqual(["B", "B"]);
      const none = found((await store.query_stats(["s"], { exclude: [], tail: true })).get("s"));
      expect([none.head.name, none.tail?.name]).toEqual(["C", "A"]);
    },
  );

  line("R4", "before looks at the past", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", "B", "C"));
    const past = async (before: number) =>
      (await store.query_stats(["s"], { before, count: true, tail: true, names: true })).get("s");
    expect(await past(at(ids, 2))).toMatchObject({ head: { name: "B" }, tail: { name: "A" }, count: 2 });
    expect(await past(at(ids, 1))).toMatchObject({ head: { name: "A" }, names: { A: 1 } });
    expect(await past(at(ids, 0))).toBeUndefined();
    expect(await past(0)).toBeUndefined();
    expect(await past(2 ** 40)).toMatchObject({ count: 3 });
    expect((await store.query_stats(["s"], { before: at(ids, 1) })).get("s")?.head.name).toBe("A");
    expect((await store.query_stats({}, { before: 0 })).size).toBe(0);
  });

  line("R4", "streams without a qualifying event are absent", async ({ store }) => {
    await append(store, "s", "A");
    await append(store, "snap", SNAPSHOT);
    await store.subscribe([{ stream: "subscribed" }]);
    expect([...(await store.query_stats(["s", "unknown", "subscribed"])).keys()]).toEqual(["s"]);
    expect([...(await store.query_stats({}, { exclude: [SNAPSHOT] })).keys()]).toEqual(["s"]);
    expect([...(await store.query_stats(["snap"], { exclude: [SNAPSHOT], count: true })).keys()]).toEqual([]);
  });

  line("R4", "an empty list gives an empty map", async ({ store }) => {
    await append(store, "s", "A");
    expect(await store.query_stats([])).toEqual(new Map());
    expect(await store.query_stats([], { count: true, tail: true, names: true })).toEqual(new Map());
  });

  line("R4", "names are literal, and may repeat", async ({ store }) => {
    for (const stream of ["a.b", "axb", "a_b"]) await append(store, stream, "A");
    expect([
      ...(await store.query_stats(["a.b", "a_b", "a.b", "a%"], { count: true })).entries(),
    ]).toMatchObject([
      ["a.b", { count: 1 }],
      ["a_b", { count: 1 }],
    ]);
  });

  line("R4", "a filter takes a pattern, an exact name, or all", async ({ store }) => {
    for (const stream of ["order-1", "order-10", "my-order-1", "user"]) await append(store, stream, "A");
    const keys = async (filter: Parameters<typeof store.query_stats>[0]) => [
      ...(await store.query_stats(filter)).keys(),
    ];
    expect(await keys({ stream: "^order-" })).toEqual(["order-1", "order-10"]);
    expect(await keys({ stream: "order-1" })).toEqual(["my-order-1", "order-1", "order-10"]);
    expect(await keys({ stream: "order-1", stream_exact: true })).toEqual(["order-1"]);
    expect(await keys({ stream: "^absent" })).toEqual([]);
    expect(await keys({})).toEqual(["my-order-1", "order-1", "order-10", "user"]);
  });

  line("R4", "the map is ordered by stream", async ({ store }) => {
    for (const stream of ["c", "a", "b"]) await append(store, stream, "A");
    expect([...(await store.query_stats(["b", "c", "a"])).keys()]).toEqual(["a", "b", "c"]);
    expect([...(await store.query_stats({}, { count: true })).keys()]).toEqual(["a", "b", "c"]);
  });

  line("R4", "after and limit page over names and filters, omitted limit is unbounded", async ({ store }) => {
    const names = Array.from({ length: 130 }, (_, n) => `s${String(n).padStart(3, "0")}`);
    for (const stream of names) await append(store, stream, "A");
    const keys = async (input: string[] | object, options: object) => [
      ...(await store.query_stats(input, options)).keys(),
    ];
    for (const input of [{}, names, { stream: "^s" }]) {
      for (const extra of [{}, { count: true }]) {
        expect(await keys(input, extra)).toEqual(names);
        expect(await keys(input, { ...extra, limit: 3 })).toEqual(names.slice(0, 3));
        expect(await keys(input, { ...extra, after: "s126" })).toEqual(["s127", "s128", "s129"]);
        expect(await keys(input, { ...extra, after: "s001x", limit: 2 })).toEqual(["s002", "s003"]);
        expect(await keys(input, { ...extra, limit: 0 })).toEqual([]);
        expect(await keys(input, { ...extra, limit: -1 })).toEqual([]);
        expect(await keys(input, { ...extra, after: "s129" })).toEqual([]);
      }
    }
  });

  line("R4", "an empty stream is no filter, as for query", async ({ store }) => {
    await append(store, "a", "A");
    await append(store, "b", "B");
    expect([...(await store.query_stats({ stream: "" })).keys()]).toEqual(["a", "b"]);
  });

  line("R4", "a limit counts qualifying streams", async ({ store }) => {
    await append(store, "a", SNAPSHOT);
    await append(store, "b", "A");
    await append(store, "c", SNAPSHOT);
    await append(store, "d", "A");
    for (const extra of [{}, { count: true }]) {
      const page = await store.query_stats({}, { exclude: [SNAPSHOT], limit: 2, ...extra });
      expect([...page.keys()]).toEqual(["b", "d"]);
    }
  });

  line(
    "R4",
    "thousands of streams come back at once, in order",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      await raw.sql`insert into ${tablesOf(raw).events} (name, data, stream, version, meta)
      select 'A', '{}', 's' || n, 0, '{"correlation": "", "causation": {}}' from generate_series(1, 5500) n`;
      const expected = Array.from({ length: 5_500 }, (_, n) => `s${n + 1}`).sort();
      expect([...(await store.query_stats({})).keys()]).toEqual(expected);
      expect([...(await store.query_stats(expected, { count: true })).keys()]).toEqual(expected);
      expect([...(await store.query_stats({}, { limit: 5_200 })).keys()]).toEqual(expected.slice(0, 5_200));
    },
  );

  line("R4", "stats never carry personal data", { needs: ["pii"] }, async ({ store }) => {
    await appendOne(store, "s", { ...message("A"), pii: { email: "a@b.c" } });
    for (const options of [{ tail: true }, { tail: true, count: true, names: true }]) {
      const { head, tail } = found((await store.query_stats(["s"], options)).get("s"));
      expect([head.pii ?? null, tail?.pii ?? null]).toEqual([null, null]);
    }
  });

  line("R4", "an event name like a member of every object is counted like any other", async ({ store }) => {
    await append(store, "s", "constructor", "toString", "constructor");
    const { names } = found((await store.query_stats(["s"], { names: true })).get("s"));
    expect({ ...names }).toEqual({ constructor: 2, toString: 1 });
  });
});
