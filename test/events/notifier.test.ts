/** notify() by itself: what the app is told, and what not, on a connection made of script. */
import { log } from "@rotorsoft/act";
import { expect, onTestFinished, test, vi } from "vitest";
import { gate } from "../conformance/kit/eventually.ts";
import { payload, row, scripted, turn } from "./subscription.ts";

test("what others commit is told, in full; one's own, and what is no payload, is not", async () => {
  const { start, line, told, receive } = scripted();
  // Nobody waits for what becomes of a payload: an error would end the process.
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  process.on("unhandledRejection", note);
  onTestFinished(() => void process.off("unhandledRejection", note));
  await start();
  expect(line().channel).toBe("act_commit_public_events");
  receive(payload([1, 2]), payload([3], { by: "me" }), "nonsense", payload([]));
  receive(payload([], { from: 1 }), payload([], { to: 1 }), payload([1e300]), payload([4], { from: 1e300 }));
  await turn();
  expect(told).toEqual([
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
  const { start, receive, told, state } = scripted([row(1), row(2), row(3, "other"), row(4)]);
  await start();
  receive(payload([], { from: 2, to: 3 }));
  await turn();
  expect(told).toEqual([{ stream: "s", events: [{ id: 2, name: "A" }] }]);
  receive(payload([], { from: 7, to: 9 }));
  await turn();
  expect(told.length).toBe(1);
  state.fails = true;
  receive(payload([], { from: 1, to: 4 }));
  await turn();
  expect(told.length).toBe(1);
  state.fails = false;
  receive(payload([], { from: 4, to: 4 }));
  await turn();
  expect(told.at(-1)).toEqual({ stream: "s", events: [{ id: 4, name: "A" }] });
});

test("a store's own shortened payload is not looked up", async () => {
  const { start, receive, state } = scripted([row(1)]);
  await start();
  const before = state.queries.length;
  receive(payload([], { by: "me", from: 1, to: 1 }));
  await turn();
  expect(state.queries.length).toBe(before);
});

test("a shortened payload that names all ids there are reads 10,000 events at most", async () => {
  const { start, receive, state } = scripted([row(1)]);
  await start();
  receive(payload([], { from: 1, to: Number.MAX_SAFE_INTEGER }));
  await turn();
  expect(state.queries.at(-1)).toEqual({
    text: expect.stringContaining("limit 10000"),
    params: ["s", 1, Number.MAX_SAFE_INTEGER],
  });
});

test("of shortened payloads that come at once one is looked up at a time, and 1,000 wait at most", async () => {
  const { start, receive, state, told } = scripted([row(1)]);
  await start();
  const before = state.queries.length;
  const { passed, open } = gate();
  state.lookUp = passed;
  receive(...Array.from({ length: 2_000 }, () => payload([], { from: 1, to: 1 })));
  await turn();
  expect(state.queries.length).toBe(before + 1);
  open();
  await vi.waitFor(() => expect(told.length).toBe(1_000));
  receive(payload([], { from: 1, to: 1 }));
  await vi.waitFor(() => expect(told.length).toBe(1_001));
  expect(state.queries.length).toBe(before + 1_001);
});

test("a second start replaces the first, whose end does nothing any more", async () => {
  const { start, listeners, told } = scripted([row(1)]);
  const endFirst = await start();
  const endSecond = await start();
  const [first, second] = listeners;
  expect(first?.stopped).toBe(1);
  first?.onPayload(payload([1]));
  first?.onPayload(payload([], { from: 1, to: 1 }));
  first?.onReconnected();
  await turn();
  expect(told).toEqual([]);
  await endFirst();
  expect(second?.stopped).toBe(0);
  second?.onPayload(payload([1]));
  await turn();
  expect(told.length).toBe(1);
  await endSecond();
  expect(second?.stopped).toBe(1);
  expect(first?.stopped).toBe(1);
});

test("of two starts at once the later listens", async () => {
  const { start, listeners } = scripted();
  const [endFirst, endSecond] = await Promise.all([start(), start()]);
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
  await endFirst?.();
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
  await endSecond?.();
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 1]);
});

test.each(["a look-up", "a catch-up"])(
  "%s that is under way when the listening ends tells nothing",
  async (what) => {
    const { start, line, receive, state, told, rows } = scripted([row(1)]);
    const end = await start();
    const { passed, open } = gate();
    state.lookUp = passed;
    state.catchUp = passed;
    rows.push(row(2));
    if (what === "a look-up") receive(payload([], { from: 2, to: 2 }));
    else line().onReconnected();
    await turn();
    await end();
    open();
    await turn();
    expect(told).toEqual([]);
  },
);

test("a notifier that is stopped before LISTEN is confirmed ends the listener then", async () => {
  const { start, notifier, listeners, state } = scripted();
  const { passed, open } = gate();
  state.listening = passed;
  const started = start();
  await turn();
  await notifier.stop();
  open();
  await started;
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1]);
});

test("a start that fails leaves nothing behind", async () => {
  const { start, listeners, state } = scripted();
  state.listenFails = true;
  await expect(start()).rejects.toMatchObject({ name: "ERR_STORE", operation: "notify" });
  expect(listeners).toEqual([]);
  state.listenFails = false;
  state.fails = true;
  await expect(start()).rejects.toThrow("no answer");
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1]);
});

test("a handler that throws or rejects harms nobody, and is logged without what it says", async () => {
  const logged = vi.spyOn(log(), "error").mockImplementation(() => {});
  onTestFinished(() => logged.mockRestore());
  const { listeners, notifier, receive } = scripted();
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
