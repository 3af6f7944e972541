/** Catch-up: what is told once a listener is back, and that no payload can make it miss an event. */
import { expect, test } from "vitest";
import { gate } from "../conformance/kit/eventually.ts";
import { payload, row, scripted, turn } from "./subscription.ts";

const HUGE = 2 ** 52;

test("what was committed while the connection was away is told once it is back, by stream and in order", async () => {
  const { start, told, rows, reconnect } = scripted([row(1)]);
  await start();
  rows.push(row(2, "a"), row(3, "b"), row(4, "a", "B"));
  await reconnect();
  expect(told).toEqual([
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
  expect(told.length).toBe(3);
  expect(told.at(-1)).toEqual({ stream: "c", events: [{ id: 5, name: "A" }] });
});

test("an absence in which nothing happened tells nothing, however often", async () => {
  const { start, receive, rows, reconnect, told, toldIds } = scripted([row(1)]);
  await start();
  for (const _ of ["once", "again"]) await reconnect();
  expect(told).toEqual([]);
  rows.push(row(2));
  receive(payload([2]));
  for (const _ of ["once", "again"]) await reconnect();
  expect(toldIds()).toEqual([[2]]);
});

test("in an empty log an absence begins before the first id", async () => {
  const { start, rows, reconnect, toldIds } = scripted();
  await start();
  await reconnect();
  rows.push(row(1));
  await reconnect();
  expect(toldIds()).toEqual([[1]]);
});

test("so it does where the connection goes before the log was looked at", async () => {
  const { start, state, rows, reconnect, toldIds } = scripted();
  const { passed, open } = gate();
  state.headRead = passed;
  const started = start();
  await turn();
  await reconnect();
  rows.push(row(1));
  await reconnect();
  expect(toldIds()).toEqual([[1]]);
  open();
  await started;
  // What the first look saw is older than what was told since.
  await reconnect();
  expect(toldIds()).toEqual([[1]]);
});

test("own commits are left out, also where their notification went with the connection", async () => {
  const { start, receive, rows, commit, reconnect, told } = scripted([row(1)]);
  await start();
  await commit(2);
  receive(payload([2], { by: "me" }));
  await commit(3, 4);
  await commit(5);
  rows.push(row(6));
  await commit(7);
  await reconnect();
  expect(told).toEqual([{ stream: "s", events: [{ id: 6, name: "A" }] }]);
});

test("an own commit whose answer is still on its way is waited for, one that fails or stores nothing is not told of", async () => {
  const { start, rows, notifier, line, toldIds } = scripted([row(1)]);
  await start();
  rows.push(...[2, 3, 4].map((id) => row(id)));
  const answer = gate();
  notifier.track(answer.passed.then(() => ({ outcome: { ids: [3] } })));
  notifier.track(Promise.reject(new Error("refused")));
  notifier.track(Promise.resolve({ outcome: { ids: [] } }));
  line().onReconnected();
  await turn();
  expect(toldIds()).toEqual([]);
  answer.open();
  await turn();
  expect(toldIds()).toEqual([[2, 4]]);
});

test("what was received is not told again, before, during and after a catch-up", async () => {
  const { start, receive, rows, state, line, reconnect, toldIds } = scripted([row(1)]);
  await start();
  rows.push(row(2), row(3));
  receive(payload([2]));
  const { passed, open } = gate();
  state.catchUp = passed;
  line().onReconnected();
  rows.push(row(4));
  receive(payload([4]));
  open();
  await turn();
  expect(toldIds()).toEqual([[2], [4], [3]]);
  await reconnect();
  expect(toldIds().length).toBe(3);
});

test("what was looked up for a shortened payload is not told again", async () => {
  const { start, receive, rows, reconnect, toldIds } = scripted([row(1)]);
  await start();
  rows.push(row(2), row(3), row(4, "other"), row(5));
  receive(payload([], { from: 2, to: 5 }));
  await turn();
  await reconnect();
  expect(toldIds()).toEqual([[2, 3, 5], [4]]);
});

test("two catch-ups at once tell nothing twice", async () => {
  const { start, rows, state, line, toldIds } = scripted([row(1)]);
  await start();
  rows.push(row(2));
  const { passed, open } = gate();
  state.catchUp = passed;
  line().onReconnected();
  line().onReconnected();
  open();
  await turn();
  expect(toldIds()).toEqual([[2]]);
});

test("a catch-up that fails is made up for the next time", async () => {
  const { start, rows, state, reconnect, toldIds } = scripted([row(1)]);
  await start();
  rows.push(row(2));
  state.fails = true;
  await reconnect();
  state.fails = false;
  rows.push(row(3));
  await reconnect();
  expect(toldIds()).toEqual([[2, 3]]);
});

test("a second start catches up from where it began, whatever the first one was doing", async () => {
  const { start, rows, state, line, reconnect, toldIds } = scripted([row(1)]);
  await start();
  const { passed, open } = gate();
  state.catchUp = passed;
  rows.push(row(2));
  line().onReconnected();
  await start();
  state.catchUp = undefined;
  open();
  await turn();
  rows.push(row(3));
  await reconnect();
  expect(toldIds()).toEqual([[3]]);
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
])(
  "a forged payload with %s hides nothing but what it names, before and during a catch-up",
  async (_, payloads) => {
    const { start, receive, rows, state, line, told } = scripted([row(1)]);
    await start();
    receive(...payloads);
    await turn();
    rows.push(...[2, 3, 4, 5, 6].map((id) => row(id)));
    const { passed, open } = gate();
    state.catchUp = passed;
    line().onReconnected();
    receive(...payloads);
    open();
    await turn();
    const genuine = told.filter(({ stream }) => stream === "s").flatMap(({ events }) => events);
    const ids = genuine.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining([2, 3, 4, 5, 6]));
  },
);

test("a forged payload with a huge id ends with the next catch-up", async () => {
  const { start, receive, rows, reconnect, told, toldIds } = scripted([row(1)]);
  await start();
  receive(payload([HUGE], { stream: "forged" }));
  await reconnect();
  const before = told.length;
  rows.push(row(2));
  await reconnect();
  await reconnect();
  expect(toldIds().slice(before)).toEqual([[2]]);
});

test("many forged payloads crowd out what is remembered, which is told again, and hide nothing", async () => {
  const { start, receive, rows, reconnect, toldIds } = scripted([row(1)]);
  await start();
  rows.push(row(2));
  receive(payload([2]));
  for (let id = 1; id <= 1_000; id++) receive(payload([id], { stream: "forged" }));
  rows.push(row(3));
  const before = toldIds().length;
  await reconnect();
  expect(toldIds().slice(before).flat()).toEqual(expect.arrayContaining([2, 3]));
});

test("the newest thousand events that were received are remembered, and older ones are not read", async () => {
  const { start, receive, rows, reconnect, toldIds } = scripted([row(1)]);
  await start();
  for (let id = 2; id <= 3_000; id++) {
    rows.push(row(id));
    receive(payload([id]));
  }
  rows.push(row(3_001));
  await reconnect();
  expect(toldIds().slice(2_999)).toEqual([[3_001]]);
});

test("own commits between those of others are left out, however many there were", async () => {
  const { start, rows, commit, reconnect, told, toldIds } = scripted([row(1)]);
  await start();
  // Too far apart to become one range.
  for (let id = 2; id <= 5_000; id += 2) {
    rows.push(row(id, "other"));
    await commit(id + 1);
  }
  await reconnect();
  expect(told.map(({ stream }) => stream)).toEqual(["other"]);
  expect(toldIds()).toEqual([Array.from({ length: 500 }, (_, i) => 4_002 + 2 * i)]);
});

test("after a restore, which numbers the log anew, all that it holds is told", async () => {
  const { start, receive, rows, commit, reconnect, toldIds } = scripted([row(1)]);
  await start();
  rows.push(row(2), row(3));
  receive(payload([2, 3]));
  await commit(4);
  rows.length = 0;
  rows.push(row(1), row(2), row(3));
  await reconnect();
  expect(toldIds()).toEqual([
    [2, 3],
    [1, 2, 3],
  ]);
  // From here on it goes on as before.
  rows.push(row(4));
  await reconnect();
  expect(toldIds().at(-1)).toEqual([4]);
});
