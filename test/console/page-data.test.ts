/** What the page computes, without a browser. */
import { expect, test } from "vitest";
import type { EventView, LogPage, Overview, TraceEvent } from "../../src/console/api.ts";
import { diffLines, toLines } from "../../src/console/page/data/diff.ts";
import { ago, bytes, duration, localTime, toTime } from "../../src/console/page/data/format.ts";
import { jsonLines, parts } from "../../src/console/page/data/json-lines.ts";
import { type Cursor, LogFeed } from "../../src/console/page/data/log-feed.ts";
import { addSample, isSeeded, samplesOf, seedSamples } from "../../src/console/page/data/rates.ts";
import { placesOf, treeRows } from "../../src/console/page/data/trace-tree.ts";

const view = (id: number): EventView => ({
  ...{ id, stream: "s", version: id, name: "Happened", created: "2026-01-01T00:00:00.000Z" },
  ...{ correlation: "c", actor: undefined, action: undefined, cause: undefined },
  ...{ keys: [], data: undefined, personal: false },
});
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const ids = (feed: LogFeed) => feed.state().rows.map(({ id }) => id);

/** A log of ids 1 to `last`, in pages of 10. */
function logOf(last: () => number, asked: Cursor[] = []) {
  return async (cursor: Cursor): Promise<LogPage> => {
    asked.push(cursor);
    const all = range(1, last());
    const found =
      cursor.after === undefined
        ? all.filter((id) => id < (cursor.before ?? Number.POSITIVE_INFINITY)).slice(-10)
        : all.filter((id) => id > (cursor.after ?? 0)).slice(0, 10);
    const events = found.reverse().map(view);
    const [newest, oldest] = [events[0]?.id ?? cursor.after ?? 0, events.at(-1)?.id ?? 0];
    return {
      events,
      older: oldest > 1 ? oldest : undefined,
      newer: newest,
      searched: { from: oldest, to: newest },
      firstId: 1,
      lastId: last(),
    };
  };
}

test("the plot's samples begin before the first pushed one, whenever the plot is opened", () => {
  const instant = Date.parse("2026-01-01T00:01:00.000Z") / 1_000;
  const pushed = { at: "2026-01-01T00:00:56.000Z", oldestLagMs: 7, rate: { now: { perSecond: 3 } } };
  addSample("shop", pushed as Overview);
  expect(isSeeded("shop")).toBe(false);
  const events = [51, 51, 49].map((second) => ({ ...view(1), created: `2026-01-01T00:00:${second}.000Z` }));
  seedSamples("shop", events, false, instant);
  expect(isSeeded("shop")).toBe(true);
  expect(samplesOf("shop")).toEqual([
    { at: instant - 8, perSecond: 1, lagMs: null },
    { at: instant - 6, perSecond: 0, lagMs: null },
    { at: instant - 4, perSecond: 3, lagMs: 7 },
  ]);
});

test("a feed grows backwards to the beginning of the log", async () => {
  const feed = new LogFeed(logOf(() => 25));
  await feed.seek();
  expect(ids(feed)).toEqual(range(16, 25).reverse());
  await feed.loadOlder();
  await feed.loadOlder();
  expect(ids(feed)).toEqual(range(1, 25).reverse());
  expect(feed.state().older).toBeUndefined();
});

test("a feed drops what is far from the view, says by how much it moved, and reads it again", async () => {
  const feed = new LogFeed(
    logOf(() => 60),
    20,
  );
  await feed.seek();
  for (let page = 0; page < 3; page++) await feed.loadOlder();
  expect(ids(feed)).toEqual(range(21, 40).reverse());
  expect(feed.state()).toMatchObject({ shift: -20, atTop: false, newer: 40 });
  await feed.loadNewer();
  expect(ids(feed)).toEqual(range(31, 50).reverse());
  expect(feed.state()).toMatchObject({ shift: -10, older: 31 });
});

test("a feed that was begun in the middle grows to the newest, and knows when it is there", async () => {
  const feed = new LogFeed(logOf(() => 30));
  await feed.seek(12);
  expect(feed.state().atTop).toBe(false);
  for (let page = 0; page < 3; page++) await feed.loadNewer();
  expect(ids(feed)).toEqual(range(2, 30).reverse());
  expect(feed.state().atTop).toBe(true);
});

test("live events come in front once, and what was left out is read when it is scrolled to", async () => {
  let last = 10;
  const feed = new LogFeed(
    logOf(() => last),
    20,
  );
  await feed.seek();
  last = 13;
  feed.push([view(12), view(11)], 12);
  feed.push([view(13), view(12)], 13);
  expect(ids(feed)).toEqual(range(1, 13).reverse());
  last = 90;
  feed.leaveOut(85);
  feed.push(range(86, 90).reverse().map(view), 90);
  await feed.loadOlder();
  expect(ids(feed)).toEqual(range(76, 90).reverse());
});

test("a failed page leaves the rows as they are, and is tried again", async () => {
  const good = logOf(() => 20);
  let broken = false;
  const feed = new LogFeed((cursor) => (broken ? Promise.reject(new Error("gone")) : good(cursor)));
  await feed.seek();
  broken = true;
  await feed.loadOlder();
  expect(feed.state().error?.message).toBe("gone");
  broken = false;
  feed.retry();
  await feed.loadOlder();
  expect(ids(feed)).toEqual(range(1, 20).reverse());
});

test("a difference shows what changed, what came and what went", () => {
  const lines = diffLines(toLines({ b: 1, a: 2, old: 3 }), toLines({ a: 2, b: 4, new: true, z: 1 }));
  expect(lines.map(({ kind, left, right }) => [kind, left?.trim(), right?.trim()])).toEqual([
    ["same", "{", "{"],
    ["same", '"a": 2,', '"a": 2,'],
    ["changed", '"b": 1,', '"b": 4,'],
    ["changed", '"old": 3', '"new": true,'],
    ["added", undefined, '"z": 1'],
    ["same", "}", "}"],
  ]);
  expect(diffLines(["a"], ["a"])).toEqual([{ kind: "same", left: "a", right: "a" }]);
  expect(diffLines([], ["a"])).toEqual([{ kind: "added", left: undefined, right: "a" }]);
});

test("Dates are marked in JSON, and what is folded has one line", () => {
  const value = {
    due: "2026-01-01T00:00:00.000Z",
    note: "2026-01-01T00:00:00.000Z",
    deep: { list: [1, null] },
  };
  const lines = jsonLines(value, { dates: [["due"]], folded: new Set(['["deep"]']) });
  expect(lines.map(({ kind, text }) => `${kind} ${text}`)).toEqual([
    "open {",
    'date "2026-01-01T00:00:00.000Z"',
    'string "2026-01-01T00:00:00.000Z"',
    "open {…}",
    "close }",
  ]);
  expect(parts("aXbxc", "x")).toEqual(["a", "X", "b", "x", "c"]);
});

test("a trace is read as a tree: each cause in front of its effects, whatever the order of the log", () => {
  const traced = (id: number, parent?: number): TraceEvent => ({
    ...view(id),
    ...{ parent, depth: 1, afterMs: undefined, offsetMs: id * 10, loop: 0 },
  });
  const events = [traced(1), traced(2), traced(3, 1), traced(4, 2), traced(5, 3)];
  expect(treeRows(events).map(({ event, depth }) => [event.id, depth])).toEqual([
    [1, 0],
    [3, 1],
    [5, 2],
    [2, 0],
    [4, 1],
  ]);
  expect([...placesOf(events, 50, "time").values()]).toEqual([0.2, 0.4, 0.6, 0.8, 1]);
  expect([...placesOf(events, 0, "time").values()]).toEqual([0, 0.25, 0.5, 0.75, 1]);
  const chain = range(1, 5_000).map((id) => traced(id, id === 1 ? undefined : id - 1));
  expect(treeRows(chain)).toHaveLength(5_000);
});

test.each([
  [4, "4 ms"],
  [1_240, "1.2 s"],
  [75_000, "1 min 15 s"],
  [7_500_000, "2 h 5 min"],
  [400 * 86_400_000, "400 d"],
])("%i ms is written as %s", (ms, written) => {
  expect(duration(ms)).toBe(written);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [8_192, "8.2 kB"],
  [123_456_789, "123 MB"],
])("%i bytes are written as %s", (size, written) => {
  expect(bytes(size)).toBe(written);
});

test("a time is 2h before or after now, or a date", () => {
  const now = Date.parse("2026-01-01T12:00:00Z");
  expect(toTime("2h", -1, now)).toBe("2026-01-01T10:00:00.000Z");
  expect(toTime("15 m", 1, now)).toBe("2026-01-01T12:15:00.000Z");
  expect(toTime("2026-01-31T12:00Z", -1, now)).toBe("2026-01-31T12:00:00.000Z");
  expect(toTime("soon", 1, now)).toBeUndefined();
});

test("a time that no Date holds, which JSON has as null, is no date", () => {
  expect([localTime(null), localTime(null, { ms: true }), ago(null)]).toEqual(Array(3).fill("no date"));
});
