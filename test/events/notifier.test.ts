/** notify() by itself: what the app is told, and what not, on a connection made of script. */
import { log, type StoreNotification } from "@rotorsoft/act";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Row } from "../../src/connections/index.ts";
import type { Context } from "../../src/context.ts";
import { Notifier } from "../../src/events/notify.ts";
import { namesOf } from "../../src/names.ts";
import { gate } from "../conformance/kit/eventually.ts";

type Listening = { channel: string; heard(payload: string): void; lost(): void; back(): void };

/** A log of `rows`, and one listener that the test drives. */
function scene(rows: Row[] = []) {
  const told: StoreNotification[] = [];
  const listeners: (Listening & { stopped: number; listening: boolean })[] = [];
  const state = {
    fails: false,
    listenFails: false,
    asked: [] as unknown[],
    /** What the look at the log's end waits for, and the look for what an absence hid. */
    headRead: undefined as Promise<void> | undefined,
    missedRead: undefined as Promise<void> | undefined,
  };
  const context = {
    names: namesOf("public", "events"),
    by: "me",
    connections: {
      listen: async (options: Listening) => {
        if (state.listenFails) throw new Error("no LISTEN");
        const one = { ...options, stopped: 0, listening: true };
        listeners.push(one);
        return {
          get listening() {
            return one.listening;
          },
          stop: async () => void one.stopped++,
        };
      },
      read: async (_: string, query: { text: string; params?: readonly unknown[] }) => {
        state.asked.push(query.params);
        if (state.fails) throw new Error("no answer");
        if (!query.params) {
          await state.headRead;
          return rows.slice(-1);
        }
        if (query.params.length === 3) {
          const [stream, from, to] = query.params;
          return rows.filter(
            (r) => r.stream === stream && Number(r.id) >= Number(from) && Number(r.id) <= Number(to),
          );
        }
        const later = rows.filter((r) => Number(r.id) > Number(query.params?.[0])).reverse();
        await state.missedRead;
        return later;
      },
    },
  } as unknown as Context;
  const notifier = new Notifier(context);
  const start = () => notifier.start((notification) => void told.push(notification));
  /** The last listener. */
  const line = () => {
    const one = listeners.at(-1);
    if (!one) throw new Error("nobody listens");
    return one;
  };
  return { told, listeners, state, notifier, start, line, rows };
}

const row = (id: number, stream = "s", name = "A"): Row => ({ id: String(id), stream, name });
const payload = (ids: number[], over: object = {}) =>
  JSON.stringify({ stream: "s", by: "other", events: ids.map((id) => ({ id, name: "A" })), ...over });
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("what others commit is told, in full; one's own, and what is no payload, is not", async () => {
  const { start, line, told } = scene();
  // Nobody waits for what becomes of a payload: an error would end the process.
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  process.on("unhandledRejection", note);
  onTestFinished(() => void process.off("unhandledRejection", note));
  await start();
  expect(line().channel).toBe("act_commit_public_events");
  line().heard(payload([1, 2]));
  line().heard(payload([3], { by: "me" }));
  line().heard("nonsense");
  line().heard(payload([]));
  line().heard(payload([], { from: 1 }));
  line().heard(payload([], { to: 1 }));
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

test("an own commit whose notification went with the connection is not told, though the loss was noticed later", async () => {
  const { start, line, told, notifier, rows } = scene([row(1)]);
  await start();
  const committed = async (...ids: number[]) => {
    rows.push(...ids.map((id) => row(id)));
    notifier.committing(Promise.resolve(ids.map((id) => ({ id }))));
    await turn();
  };
  await committed(2);
  line().heard(payload([2], { by: "me" }));
  // The connection is gone, and nobody here knows.
  await committed(3, 4);
  await committed(5);
  rows.push(row(6));
  line().lost();
  await committed(7);
  line().back();
  await turn();
  expect(told).toEqual([{ stream: "s", events: [{ id: 6, name: "A" }] }]);
  // Of what comes with the next loss nothing is left out.
  line().lost();
  rows.push(row(8));
  line().back();
  await turn();
  expect(told.length).toBe(2);
});

test("a notification of an earlier commit leaves an own one to be heard of", async () => {
  const { start, line, told, notifier, rows } = scene([row(1)]);
  await start();
  rows.push(row(2), row(3), row(4));
  notifier.committing(Promise.resolve([{ id: 3 }, { id: 4 }]));
  await turn();
  line().heard(payload([2]));
  line().lost();
  line().back();
  await turn();
  expect(told.map(({ events }) => events.map(({ id }) => id))).toEqual([[2]]);
});

test("what is heard during a look-up is not asked for by the next one", async () => {
  const { start, line, rows, state } = scene([row(1)]);
  await start();
  const { passed, open } = gate();
  state.missedRead = passed;
  line().lost();
  rows.push(row(2));
  line().back();
  line().heard(payload([3]));
  open();
  await turn();
  line().lost();
  line().back();
  await turn();
  expect(state.asked.at(-1)).toEqual([3]);
});

test("a shortened payload is completed from the log, or left to polling", async () => {
  const { start, line, told, state } = scene([row(1), row(2), row(3, "other"), row(4)]);
  await start();
  line().heard(payload([], { from: 2, to: 3 }));
  await turn();
  expect(told).toEqual([{ stream: "s", events: [{ id: 2, name: "A" }] }]);
  line().heard(payload([], { from: 7, to: 9 }));
  await turn();
  expect(told.length).toBe(1);
  state.fails = true;
  line().heard(payload([], { from: 1, to: 4 }));
  await turn();
  expect(told.length).toBe(1);
});

test("what was committed while the connection was away is told once it is back, by stream and in order", async () => {
  const { start, line, told, rows, state } = scene([row(1)]);
  await start();
  line().lost();
  rows.push(row(2, "a"), row(3, "b"), row(4, "a", "B"));
  line().back();
  await turn();
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
  expect(state.asked.at(-1)).toEqual([1]);
  line().back();
  await turn();
  expect(told.length).toBe(2);
  line().lost();
  rows.push(row(5, "c"));
  line().back();
  await turn();
  expect(state.asked.at(-1)).toEqual([4]);
  expect(told.at(-1)).toEqual({ stream: "c", events: [{ id: 5, name: "A" }] });
});

test("an absence begins behind the last id that was heard of, whoever committed it", async () => {
  const { start, line, state } = scene([row(1)]);
  await start();
  line().heard(payload([5, 6], { by: "me" }));
  line().heard(payload([], { by: "me", from: 7, to: 9 }));
  line().heard(payload([3]));
  line().heard(payload([]));
  line().lost();
  line().back();
  await turn();
  expect(state.asked.at(-1)).toEqual([9]);
});

test("an absence in which nothing happened changes nothing", async () => {
  const { start, line, state } = scene([row(1)]);
  await start();
  for (const _ of ["once", "again"]) {
    line().lost();
    line().back();
    await turn();
    expect(state.asked.at(-1)).toEqual([1]);
  }
  line().heard(payload([5]));
  line().lost();
  line().back();
  await turn();
  expect(state.asked.at(-1)).toEqual([5]);
});

test("in an empty log it begins before the first id", async () => {
  const { start, line, state, told, rows } = scene();
  await start();
  line().lost();
  line().back();
  await turn();
  expect(state.asked.at(-1)).toEqual([-1]);
  line().lost();
  rows.push(row(1));
  line().back();
  await turn();
  expect(told.map(({ events }) => events.map(({ id }) => id))).toEqual([[1]]);
});

test("so too where the connection goes before the log was looked at", async () => {
  const { start, line, state, told, rows } = scene();
  const { passed, open } = gate();
  state.headRead = passed;
  const started = start();
  await turn();
  for (const _ of ["once", "again"]) {
    line().lost();
    line().back();
    await turn();
    expect(state.asked.at(-1)).toEqual([-1]);
  }
  line().lost();
  rows.push(row(1));
  line().back();
  await turn();
  expect(told.map(({ events }) => events.map(({ id }) => id))).toEqual([[1]]);
  open();
  await started;
});

test("an absence that a second start is in is its own: the end of the first one's look-up is not its end", async () => {
  const { start, line, state, told, rows } = scene([row(1)]);
  await start();
  const { passed, open } = gate();
  state.missedRead = passed;
  line().lost();
  line().back();
  await start();
  state.missedRead = undefined;
  line().lost();
  open();
  await turn();
  rows.push(row(2));
  line().back();
  await turn();
  expect(told.map(({ events }) => events.map(({ id }) => id))).toEqual([[2]]);
});

test("what was heard or committed here after all is not told again", async () => {
  const { start, line, told, rows, notifier } = scene([row(1)]);
  await start();
  line().lost();
  rows.push(...[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13].map((id) => row(id)));
  const answer = gate();
  notifier.committing(Promise.resolve([{ id: 3 }, { id: 4 }]));
  notifier.committing(answer.passed.then(() => [{ id: 6 }]));
  notifier.committing(Promise.reject(new Error("refused")));
  notifier.committing(Promise.resolve([]));
  line().heard(payload([8]));
  line().heard(payload([], { by: "me", from: 10, to: 12 }));
  // What names no ids hides none.
  line().heard(payload([]));
  line().back();
  await turn();
  expect(told.map(({ events }) => events.map(({ id }) => id))).toEqual([[8]]);
  answer.open();
  await turn();
  expect(told.map(({ events }) => events.map(({ id }) => id))).toEqual([[8], [2, 5, 7, 9, 13]]);
});

test("a look-up that fails, or a connection that goes again meanwhile, is made up for the next time", async () => {
  const { start, line, told, rows, state } = scene([row(1)]);
  await start();
  line().lost();
  rows.push(row(2));
  state.fails = true;
  line().back();
  await turn();
  expect(told).toEqual([]);
  state.fails = false;
  line().listening = false;
  line().back();
  await turn();
  rows.push(row(3));
  line().listening = true;
  line().lost();
  line().back();
  await turn();
  expect(told.map(({ events }) => events.map(({ id }) => id))).toEqual([[2], [3]]);
  expect(state.asked.at(-1)).toEqual([1]);
});

test("a second start replaces the first, whose end does nothing any more", async () => {
  const { start, listeners, told } = scene();
  const endFirst = await start();
  const endSecond = await start();
  const [first, second] = listeners;
  expect(first?.stopped).toBe(1);
  first?.heard(payload([1]));
  first?.lost();
  first?.back();
  await turn();
  expect(told).toEqual([]);
  await endFirst();
  expect(second?.stopped).toBe(0);
  second?.heard(payload([1]));
  await turn();
  expect(told.length).toBe(1);
  await endSecond();
  expect(second?.stopped).toBe(1);
  expect(first?.stopped).toBe(1);
});

test("of two starts at once the later listens", async () => {
  const { start, listeners } = scene();
  const [endFirst, endSecond] = await Promise.all([start(), start()]);
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
  await endFirst?.();
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
  await endSecond?.();
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 1]);
});

test("a start that fails leaves nothing behind", async () => {
  const { start, listeners, state } = scene();
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
  const { listeners, notifier, line } = scene();
  let calls = 0;
  await notifier.start(() => {
    calls++;
    throw new TypeError("own");
  });
  line().heard(payload([1]));
  await turn();
  await notifier.start((async () => {
    calls++;
    throw "no Error";
  }) as () => void);
  line().heard(payload([2]));
  await turn();
  expect(calls).toBe(2);
  expect(logged.mock.calls).toEqual([
    ["[act-drizzle] a notify handler failed: TypeError"],
    ["[act-drizzle] a notify handler failed: not an Error"],
  ]);
  expect(listeners.map(({ stopped }) => stopped)).toEqual([1, 0]);
});
