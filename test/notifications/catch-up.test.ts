/** Catch-up: what is reported after a reconnect. No payload can make it miss an event. */
import { expect, test } from "vitest";
import { gate } from "../conformance/kit/eventually.ts";
import { payload, row, scriptedNotifier, turn } from "./fixture.ts";

const HUGE = 2 ** 52;

test("events that were committed while disconnected are reported after the reconnect, by stream and in order", async () => {
  const { start, reported, rows, reconnect } = scriptedNotifier([row(1)]);
  await start();
  rows.push(row(2, "a"), row(3, "b"), row(4, "a", "B"));
  await reconnect();
  expect(reported).toEqual([
    {
      stream: "a",
      events: [
        { id: 2, name: "A" },
        { id: 4, name: "B" },
      ],
    },
    { stream: "b", events: [{ id: 3, name: "A" }] },
  ]);
  rows.push(row(5, "c"));
  await reconnect();
  expect(reported.length).toBe(3);
  expect(reported.at(-1)).toEqual({ stream: "c", events: [{ id: 5, name: "A" }] });
});

test("a reconnect without new events reports nothing, however often", async () => {
  const { start, receive, rows, reconnect, reported, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  for (const _ of ["once", "again"]) await reconnect();
  expect(reported).toEqual([]);
  rows.push(row(2));
  receive(payload([2]));
  for (const _ of ["once", "again"]) await reconnect();
  expect(reportedIds()).toEqual([[2]]);
});

test("catch-up of an empty log starts before the first id", async () => {
  const { start, rows, reconnect, reportedIds } = scriptedNotifier();
  await start();
  await reconnect();
  rows.push(row(1));
  await reconnect();
  expect(reportedIds()).toEqual([[1]]);
});

test("catch-up also starts there if the connection is lost before the head was read", async () => {
  const { start, state, rows, reconnect, reportedIds } = scriptedNotifier();
  const { passed, open } = gate();
  state.headRead = passed;
  const started = start();
  await turn();
  await reconnect();
  rows.push(row(1));
  await reconnect();
  expect(reportedIds()).toEqual([[1]]);
  open();
  await started;
  // The head that was read first is older than the events that were reported since.
  await reconnect();
  expect(reportedIds()).toEqual([[1]]);
});

test("own commits are left out, also if their notification was lost with the connection", async () => {
  const { start, receive, rows, commit, reconnect, reported } = scriptedNotifier([row(1)]);
  await start();
  await commit(2);
  receive(payload([2], { by: "me" }));
  await commit(3, 4);
  await commit(5);
  rows.push(row(6));
  await commit(7);
  await reconnect();
  expect(reported).toEqual([{ stream: "s", events: [{ id: 6, name: "A" }] }]);
});

test("catch-up waits for an own commit whose answer has not arrived, and ignores one that fails or stores nothing", async () => {
  const { start, rows, notifier, listener, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  rows.push(...[2, 3, 4].map((id) => row(id)));
  const answer = gate();
  notifier.track(answer.passed.then(() => ({ outcome: { ids: [3] } })));
  notifier.track(Promise.reject(new Error("refused")));
  notifier.track(Promise.resolve({ outcome: { ids: [] } }));
  listener().onReconnected();
  await turn();
  expect(reportedIds()).toEqual([]);
  answer.open();
  await turn();
  expect(reportedIds()).toEqual([[2, 4]]);
});

test("events of a payload are not reported again, before, during and after a catch-up", async () => {
  const { start, receive, rows, state, listener, reconnect, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  rows.push(row(2), row(3));
  receive(payload([2]));
  const { passed, open } = gate();
  state.catchUp = passed;
  listener().onReconnected();
  rows.push(row(4));
  receive(payload([4]));
  open();
  await turn();
  expect(reportedIds()).toEqual([[2], [4], [3]]);
  await reconnect();
  expect(reportedIds().length).toBe(3);
});

test("events that were looked up for a shortened payload are not reported again", async () => {
  const { start, receive, rows, reconnect, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  rows.push(row(2), row(3), row(4, "other"), row(5));
  receive(payload([], { from: 2, to: 5 }));
  await turn();
  await reconnect();
  expect(reportedIds()).toEqual([[2, 3, 5], [4]]);
});

test("two concurrent catch-ups report nothing twice", async () => {
  const { start, rows, state, listener, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  rows.push(row(2));
  const { passed, open } = gate();
  state.catchUp = passed;
  listener().onReconnected();
  listener().onReconnected();
  open();
  await turn();
  expect(reportedIds()).toEqual([[2]]);
});

test("events that a failed catch-up missed are reported by the next one", async () => {
  const { start, rows, state, reconnect, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  rows.push(row(2));
  state.fails = true;
  await reconnect();
  state.fails = false;
  rows.push(row(3));
  await reconnect();
  expect(reportedIds()).toEqual([[2, 3]]);
});

test("a second start catches up from its own beginning, even if the first one is catching up", async () => {
  const { start, rows, state, listener, reconnect, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  const { passed, open } = gate();
  state.catchUp = passed;
  rows.push(row(2));
  listener().onReconnected();
  await turn();
  state.catchUp = undefined;
  await start();
  open();
  await turn();
  rows.push(row(3));
  await reconnect();
  expect(reportedIds()).toEqual([[3]]);
});

test.each<[string, string[]]>([
  ["an id that no bigint holds", [payload([1e300])]],
  [
    "a range that no bigint holds",
    [payload([], { from: 1, to: 1e300 }), payload([], { from: -1e300, to: 1 })],
  ],
  ["ids that are no whole numbers", [payload([2.5]), payload([], { from: 1.5, to: 9.5 })]],
  ["the next ids, of another stream", [payload([2, 3, 4, 5], { stream: "forged" })]],
  ["the next ids in the store's own name", [payload([2, 3, 4], { by: "me" })]],
  ["a huge id of the stream itself", [payload([HUGE])]],
  ["a huge id in the store's own name", [payload([HUGE], { by: "me" })]],
  ["a range of the next ids, of another stream", [payload([], { stream: "forged", from: 2, to: 5 })]],
  ["a range of the next ids in the store's own name", [payload([], { by: "me", from: 2, to: 5 })]],
  ["a range of all ids", [payload([], { from: 1, to: HUGE })]],
  ["two ids with the next ones between them", [payload([1, 7])]],
])("a forged payload with %s hides no other event, before and during a catch-up", async (_, payloads) => {
  const { start, receive, rows, state, listener, reported } = scriptedNotifier([row(1)]);
  await start();
  receive(...payloads);
  await turn();
  rows.push(...[2, 3, 4, 5, 6].map((id) => row(id)));
  const { passed, open } = gate();
  state.catchUp = passed;
  listener().onReconnected();
  receive(...payloads);
  open();
  await turn();
  const genuine = reported.filter(({ stream }) => stream === "s").flatMap(({ events }) => events);
  const ids = genuine.map(({ id }) => id);
  expect(ids).toEqual(expect.arrayContaining([2, 3, 4, 5, 6]));
});

test("a forged payload with a huge id has no effect after the next catch-up", async () => {
  const { start, receive, rows, reconnect, reported, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  receive(payload([HUGE], { stream: "forged" }));
  await reconnect();
  const before = reported.length;
  rows.push(row(2));
  await reconnect();
  await reconnect();
  expect(reportedIds().slice(before)).toEqual([[2]]);
});

test("many forged payloads make catch-up report an event again, and hide none", async () => {
  const { start, receive, rows, reconnect, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  rows.push(row(2));
  receive(payload([2]));
  for (let id = 1; id <= 1_000; id++) receive(payload([id], { stream: "forged" }));
  rows.push(row(3));
  const before = reportedIds().length;
  await reconnect();
  expect(reportedIds().slice(before).flat()).toEqual(expect.arrayContaining([2, 3]));
});

test("after 3,000 payloads catch-up reports only the event that none has named", async () => {
  const { start, receive, rows, reconnect, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  for (let id = 2; id <= 3_000; id++) {
    rows.push(row(id));
    receive(payload([id]));
  }
  rows.push(row(3_001));
  await reconnect();
  expect(reportedIds().slice(2_999)).toEqual([[3_001]]);
});

test("own commits between those of other stores are left out, however many there are", async () => {
  const { start, rows, commit, reconnect, reported, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  // Too far apart to become one range.
  for (let id = 2; id <= 5_000; id += 2) {
    rows.push(row(id, "other"));
    await commit(id + 1);
  }
  await reconnect();
  expect(reported.map(({ stream }) => stream)).toEqual(["other"]);
  expect(reportedIds()).toEqual([Array.from({ length: 500 }, (_, i) => 4_002 + 2 * i)]);
});

test("after a restore, whose ids start again at 1, the whole log is reported", async () => {
  const { start, receive, rows, commit, reconnect, reportedIds } = scriptedNotifier([row(1)]);
  await start();
  rows.push(row(2), row(3));
  receive(payload([2, 3]));
  await commit(4);
  rows.length = 0;
  rows.push(row(1), row(2), row(3));
  await reconnect();
  expect(reportedIds()).toEqual([
    [2, 3],
    [1, 2, 3],
  ]);
  // From here on it goes on as before.
  rows.push(row(4));
  await reconnect();
  expect(reportedIds().at(-1)).toEqual([4]);
});
