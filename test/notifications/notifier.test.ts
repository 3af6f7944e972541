/** What notify() reports to the app, on a scripted connection. */
import { log } from "@rotorsoft/act";
import { expect, onTestFinished, test, vi } from "vitest";
import { gate } from "../conformance/kit/eventually.ts";
import { payload, row, scriptedNotifier, turn } from "./fixture.ts";

test("commits of other stores are reported with all events; own commits and invalid payloads are not", async () => {
  const { start, listener, reported, receive } = scriptedNotifier();
  // Nobody awaits the handling of a payload, so an error would end the process.
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  process.on("unhandledRejection", note);
  onTestFinished(() => void process.off("unhandledRejection", note));
  await start();
  expect(listener().channel).toBe("act_commit_public_events");
  receive(payload([1, 2]), payload([3], { by: "me" }), "nonsense", payload([]));
  receive(payload([], { from: 1 }), payload([], { to: 1 }), payload([1e300]), payload([4], { from: 1e300 }));
  await turn();
  expect(reported).toEqual([
    {
      stream: "s",
      events: [
        { id: 1, name: "A" },
        { id: 2, name: "A" },
      ],
    },
  ]);
  expect(unhandled).toEqual([]);
});

test("a shortened payload is completed from the log, or left to polling", async () => {
  const { start, receive, reported, state } = scriptedNotifier([row(1), row(2), row(3, "other"), row(4)]);
  await start();
  receive(payload([], { from: 2, to: 3 }));
  await turn();
  expect(reported).toEqual([{ stream: "s", events: [{ id: 2, name: "A" }] }]);
  receive(payload([], { from: 7, to: 9 }));
  await turn();
  expect(reported.length).toBe(1);
  state.fails = true;
  receive(payload([], { from: 1, to: 4 }));
  await turn();
  expect(reported.length).toBe(1);
  state.fails = false;
  receive(payload([], { from: 4, to: 4 }));
  await turn();
  expect(reported.at(-1)).toEqual({ stream: "s", events: [{ id: 4, name: "A" }] });
});

test("a store's own shortened payload is not looked up", async () => {
  const { start, receive, state } = scriptedNotifier([row(1)]);
  await start();
  const before = state.queries.length;
  receive(payload([], { by: "me", from: 1, to: 1 }));
  await turn();
  expect(state.queries.length).toBe(before);
});

test("a shortened payload with the range of all ids reads at most 10,000 events", async () => {
  const { start, receive, state } = scriptedNotifier([row(1)]);
  await start();
  receive(payload([], { from: 1, to: Number.MAX_SAFE_INTEGER }));
  await turn();
  expect(state.queries.at(-1)).toEqual({
    text: expect.stringContaining("limit 10000"),
    params: ["s", 1, Number.MAX_SAFE_INTEGER],
  });
});

test("shortened payloads are looked up one at a time, and at most 1,000 wait", async () => {
  const { start, receive, state, reported } = scriptedNotifier([row(1)]);
  await start();
  const before = state.queries.length;
  const { passed, open } = gate();
  state.lookUp = passed;
  receive(...Array.from({ length: 2_000 }, () => payload([], { from: 1, to: 1 })));
  await turn();
  expect(state.queries.length).toBe(before + 1);
  open();
  await vi.waitFor(() => expect(reported.length).toBe(1_000));
  receive(payload([], { from: 1, to: 1 }));
  await vi.waitFor(() => expect(reported.length).toBe(1_001));
  expect(state.queries.length).toBe(before + 1_001);
});

test("a second start replaces the first, whose disposer then does nothing", async () => {
  const { start, listeners, reported } = scriptedNotifier([row(1)]);
  const endFirst = await start();
  const endSecond = await start();
  const [first, second] = listeners;
  expect(first?.stopped).toBe(1);
  first?.onPayload(payload([1]));
  first?.onPayload(payload([], { from: 1, to: 1 }));
  first?.onReconnected();
  await turn();
  expect(reported).toEqual([]);
  await endFirst();
  expect(second?.stopped).toBe(0);
  second?.onPayload(payload([1]));
  await turn();
  expect(reported.length).toBe(1);
  await endSecond();
  expect(second?.stopped).toBe(1);
  expect(first?.stopped).toBe(1);
});

test("of two concurrent starts the later one listens", async () => {
  const { start, listeners } = scriptedNotifier();
  const [endFirst, endSecond] = await Promise.all([start(), start()]);
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
  await endFirst?.();
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
  await endSecond?.();
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 1]);
});

test.each(["a look-up", "a catch-up"])(
  "%s that is running when the subscription ends reports nothing",
  async (what) => {
    const { start, listener, receive, state, reported, rows } = scriptedNotifier([row(1)]);
    const end = await start();
    const { passed, open } = gate();
    state.lookUp = passed;
    state.catchUp = passed;
    rows.push(row(2));
    if (what === "a look-up") receive(payload([], { from: 2, to: 2 }));
    else listener().onReconnected();
    await turn();
    await end();
    open();
    await turn();
    expect(reported).toEqual([]);
  },
);

test("a notifier that is stopped before LISTEN is confirmed stops its listener after that", async () => {
  const { start, notifier, listeners, state } = scriptedNotifier();
  const { passed, open } = gate();
  state.listening = passed;
  const started = start();
  await turn();
  await notifier.stop();
  open();
  await started;
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1]);
});

test("a start that fails leaves no listener behind", async () => {
  const { start, listeners, state } = scriptedNotifier();
  state.listenFails = true;
  await expect(start()).rejects.toMatchObject({ name: "ERR_STORE", operation: "notify" });
  expect(listeners).toEqual([]);
  state.listenFails = false;
  state.fails = true;
  await expect(start()).rejects.toThrow("no answer");
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1]);
});

test("an error of a handler is contained, and logged without its message", async () => {
  const logged = vi.spyOn(log(), "error").mockImplementation(() => {});
  onTestFinished(() => logged.mockRestore());
  const { listeners, notifier, receive } = scriptedNotifier();
  let calls = 0;
  await notifier.start(() => {
    calls++;
    throw new TypeError("own");
  });
  receive(payload([1]));
  await turn();
  await notifier.start((async () => {
    calls++;
    throw "no Error";
  }) as () => void);
  receive(payload([2]));
  await turn();
  expect(calls).toBe(2);
  expect(logged.mock.calls).toEqual([
    ["[act-drizzle] a notify handler failed: TypeError"],
    ["[act-drizzle] a notify handler failed: not an Error"],
  ]);
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
});
