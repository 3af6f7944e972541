/** Values at the edge of what a verb takes: each has one meaning, the reference's, or is refused. */
import { expect, test } from "vitest";
import { event, meta, useDatabase } from "../postgres/fixture.ts";
import { contents, fill } from "./log.ts";

const fixture = useDatabase();

test("a correlator by the empty key holds its lease, and advances the checkpoint that all share", async () => {
  const store = await fixture.seeded();
  const own = { key: "", by: "w1", millis: 60_000 };
  expect(await store.subscribe([], 7, own)).toMatchObject({ correlated_at: 7, correlating: true });
  expect(await store.subscribe([], 3, own)).toMatchObject({ correlated_at: 7, correlating: true });
  const other = await store.subscribe([], 9, { ...own, by: "w2" });
  expect(other).toMatchObject({ correlated_at: 9, correlating: false });
  expect(await store.subscribe([])).toMatchObject({ correlated_at: 9 });
});

test("a filter's null is refused by the verb, for it would choose other subscriptions than no filter does", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  const verbs: Record<string, (filter: never) => Promise<unknown>> = {
    reset: (filter) => store.reset(filter),
    prioritize: (filter) => store.prioritize(filter, 5),
    unblock: (filter) => store.unblock(filter),
    defer: (filter) => store.defer(filter, 1),
    query_streams: (filter) => store.query_streams(() => {}, filter),
  };
  for (const option of ["blocked", "lane", "stream", "source"])
    for (const over of [{}, { stream_exact: true, source_exact: true }])
      for (const [verb, call] of Object.entries(verbs))
        await expect(call({ ...over, [option]: null } as never), `${verb} ${option}`).rejects.toMatchObject({
          name: "ERR_VALIDATION",
          target: verb,
          details: `${option} must not be null: leave it out`,
        });
  for (const stream_exact of [false, true])
    await expect(store.query_stats({ stream: null, stream_exact } as never)).rejects.toMatchObject({
      name: "ERR_VALIDATION",
      target: "query_stats",
      details: "stream must not be null: leave it out",
    });
  expect(await contents(fixture, store)).toBe(before);
});

test("where it chooses nothing, null is as good as left out", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const streams = async (query: object) => {
    const seen: string[] = [];
    await store.query_streams(({ stream }) => seen.push(stream), query);
    return seen;
  };
  expect(await streams({ after: null, stream_exact: null, source_exact: null })).toEqual(await streams({}));
  const stats = async (options: object) => [...(await store.query_stats({}, options)).entries()];
  const none = { after: null, tail: null, count: null, names: null };
  expect(await stats(none)).toEqual(await stats({}));
  expect(await store.query_stats({ stream: "s", stream_exact: null } as never)).toHaveProperty("size", 1);
  const events = (query: object) => store.query(() => {}, query);
  const all = { stream: null, correlation: null, backward: null, with_snaps: null, stream_exact: null };
  expect(await events(all)).toBe(await events({}));
  await store.subscribe([{ stream: "any", source: null, lane: null, correlated_at: 9 }] as never);
  await store.subscribe([{ stream: "in a lane", lane: "fast", correlated_at: 9 }]);
  const claimed = await store.claim(9, 9, "w", 10, null as never);
  expect(claimed.map(({ stream, lane }) => `${stream}, ${lane}`)).toEqual(
    expect.arrayContaining(["any, default", "in a lane, fast"]),
  );
});

test("a list with a hole in it is refused by the verb, by place: what was meant there would be lost", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  const meta = { correlation: "", causation: {} };
  const lease = { stream: "leased", at: 1, by: "w", retry: 0, lagging: true };
  const holed = (...items: unknown[]) => {
    const list = [...items, ...items];
    delete list[1];
    return list as never;
  };
  const calls: [verb: string, list: string, call: () => Promise<unknown>][] = [
    ["commit", "msgs", () => store.commit("s", holed({ name: "A", data: {} }), meta)],
    ["truncate", "targets", () => store.truncate(holed({ stream: "s" }))],
    ["query", "names", () => store.query(() => {}, { names: holed("A") })],
    ["query_stats", "input", () => store.query_stats(holed("s"))],
    ["query_stats", "exclude", () => store.query_stats({}, { exclude: holed("A") })],
    ["query_streams", "source_matches", () => store.query_streams(() => {}, { source_matches: holed("s") })],
    ["subscribe", "streams", () => store.subscribe(holed({ stream: "new" }))],
    ["ack", "leases", () => store.ack(holed(lease))],
    ["block", "leases", () => store.block(holed({ ...lease, error: "e" }))],
    ["reset", "streams", () => store.reset(holed("leased"))],
    ["unblock", "streams", () => store.unblock(holed("blocked"))],
    ["defer", "streams", () => store.defer(holed("leased"), 1)],
  ];
  for (const [verb, list, call] of calls)
    await expect(call(), verb).rejects.toMatchObject({
      name: "ERR_VALIDATION",
      target: verb,
      details: `${list} has nothing at 1`,
    });
  expect(await contents(fixture, store)).toBe(before);
});

test("a window before all time that PostgreSQL knows takes nothing", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  const target = { stream: "s", before: new Date(-8_640_000_000_000_000) };
  expect((await store.truncate([target])).size).toBe(0);
  expect(await contents(fixture, store)).toBe(before);
});

test("a stored source that JavaScript does not try matches any name", async () => {
  const store = await fixture.seeded();
  await store.subscribe([
    ...["(a+)+b", "(a)*b", "(a){2}b", "(", "[b"].map((source) => ({ stream: source, source })),
    { stream: "tried", source: "(a)b" },
  ]);
  const seen: string[] = [];
  await store.query_streams(({ stream }) => void seen.push(stream), { source_matches: ["c"] });
  expect(seen).toEqual(["(", "[b"]);
});

test("a user's own column stands in no verb's way, whatever its name", async () => {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  for (const suffix of ["", "_streams"])
    await fixture.sql.unsafe(`alter table "${schema}"."${table}${suffix}"
      add column ord int, add column lagging int, add column target int, add column mark int, add column size int`);
  await fill(store);
  const snapshot = await store.commit("own", [event("A"), event("__snapshot__")], meta);
  const truncated = await store.truncate([{ stream: "own", before: new Date(Date.now() + 60_000) }]);
  expect(truncated.get("own")).toMatchObject({ deleted: 1, committed: { id: snapshot[1]?.id } });
  await store.subscribe([{ stream: "x", correlated_at: 1e6, priority: 99 }]);
  const [lease] = await store.claim(1, 1, "w", 60_000);
  expect(lease?.stream).toBe("x");
  expect(await store.ack(lease ? [lease] : [])).toHaveLength(1);
});

test("what of a user's own is in the way is told with what to do", async () => {
  const store = await fixture.seeded();
  const events = `"${store.config.schema}"."${store.config.table}"`;
  await store.commit("s", [event()], meta);
  await fixture.sql.unsafe(`create view ${events.replace(/"$/, '_view"')} as select id from ${events};
    create table ${events.replace(/"$/, '_own"')} (event bigint references ${events} (id));
    insert into ${events.replace(/"$/, '_own"')} select id from ${events}`);
  await expect(store.truncate([{ stream: "s" }])).rejects.toMatchObject({
    cause: {
      code: "23503",
      message: expect.stringMatching(/foreign key of yours.*delete the referring rows first/),
    },
  });
  await expect(store.drop()).rejects.toMatchObject({
    cause: { code: "2BP01", message: expect.stringContaining("a view or another object of yours") },
  });
  expect(await fixture.rows(store)).toHaveLength(1);
});

test("names beyond U+FFFF sort by their code points, in JavaScript before U+E000: no page leaves one out", async () => {
  const store = await fixture.seeded();
  const sorted = ["a", "\uffee", "\u{1f600}", "\u{1f600}z"];
  for (const stream of sorted.toReversed()) await store.subscribe([{ stream }]);
  const seen: string[] = [];
  for (let more = true; more; ) {
    const after = seen.at(-1);
    const page = await store.query_streams(({ stream }) => void seen.push(stream), { limit: 1, after });
    more = page.count > 0;
  }
  expect(seen).toEqual(sorted);
});

test("a stored source that would take JavaScript minutes is matched by the server", async () => {
  const store = await fixture.seeded();
  await store.subscribe([
    { stream: "dear", source: "(a+)+$" },
    { stream: "cheap", source: "^b+$" },
  ]);
  const seen: string[] = [];
  const began = performance.now();
  await store.query_streams(({ stream }) => void seen.push(stream), {
    source_matches: [`${"a".repeat(40)}!`],
  });
  expect(seen).toEqual([]);
  expect(performance.now() - began).toBeLessThan(10_000);
});
