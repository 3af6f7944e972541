/** Group commit by itself: what goes out together, and who is told what, on connections made of script. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ConnectionError, DatabaseError } from "../../src/errors.ts";
import { MAX_WAITING } from "../../src/events/queue.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { errorOf, fine, one, type Script, scene } from "./script.ts";

/** A queue whose first group, of a commit to `a`, is under way until `busy` is opened. */
async function behindOne(deadline: number) {
  const busy = gate();
  const started = gate();
  let calls = 0;
  const { queue, groups } = scene({
    deadline,
    send: async (sent) => {
      started.open();
      if (calls++ === 0) await busy.passed;
      fine(sent);
    },
  });
  const first = queue.push(one("a"));
  await started.passed;
  return { queue, groups, first, busy };
}

describe("what goes out together", () => {
  test("is what was called in one turn, then what waited meanwhile, in the order of the calls", async () => {
    const busy = gate();
    const first = gate();
    const { queue, groups, rests } = scene({
      send: async (sent) => {
        first.open();
        await busy.passed;
        fine(sent);
      },
    });
    const early = ["a", "b"].map((stream) => queue.push(one(stream)));
    await first.passed;
    const late = ["c", "d", "e"].map((stream) => queue.push(one(stream)));
    expect(rests()).toBe(0);
    busy.open();
    const all = await Promise.all([...early, ...late]);
    expect(groups).toEqual([
      ["a", "b"],
      ["c", "d", "e"],
    ]);
    expect(all.map(({ outcome }) => outcome.ids)).toEqual([[1], [2], [1], [2], [3]]);
    expect(all[0]).toEqual({ outcome: { landed: true, head: -1, ids: [1] }, created: new Date(5) });
    await queue.close();
    expect(rests()).toBe(1);
  });

  test("is 512 commits at most", async () => {
    const { queue, groups } = scene();
    await Promise.all(Array.from({ length: 1_025 }, (_, i) => queue.push(one(`s${i}`))));
    expect(groups.map((group) => group.length)).toEqual([512, 512, 1]);
  });

  test.each([
    ["data", (size: number) => ({ size })],
    ["pii", (size: number) => ({ size: 0, pii: "p".repeat(size) })],
    ["meta", (size: number) => ({ size: 0, meta: "m".repeat(size) })],
  ])("is 4,000,000 characters of %s at most, or one commit", async (_, of) => {
    const { queue, groups } = scene();
    const sizes = [2_000_000, 2_000_000, 1, 5_000_000, 5_000_000, 3_999_999, 1, 1];
    await Promise.all(sizes.map((size, i) => queue.push(one(`s${i}`, of(size)))));
    expect(groups).toEqual([["s0", "s1"], ["s2"], ["s3"], ["s4"], ["s5", "s6"], ["s7"]]);
  });
});

describe("the queue refuses", () => {
  test("what comes after the store was disposed, and lets the rest finish", async () => {
    const { queue, groups } = scene();
    const before = queue.push(one("a"));
    const closing = queue.close();
    expect(await errorOf(queue.push(one("b")))).toMatchObject({
      code: "STORE_CLOSED",
      sent: false,
      message: "the store is disposed: create a new PostgresStore",
    });
    await closing;
    expect(groups).toEqual([["a"]]);
    expect((await before).outcome.landed).toBe(true);
  });

  test("more than 100,000 that wait", async () => {
    const busy = gate();
    const { queue } = scene({ send: async (sent) => busy.passed.then(() => fine(sent)) });
    const waiting = Array.from({ length: MAX_WAITING }, () => queue.push(one("a", { expected: null })));
    const last = errorOf(queue.push(one("b")));
    // At once, not when there is room again.
    expect(
      await Promise.race([last, new Promise((resolve) => setImmediate(resolve, "waits"))]),
    ).toMatchObject({
      code: "QUEUE_FULL",
      sent: false,
      message: "100000 commits are waiting already: slow down",
    });
    busy.open();
    expect((await Promise.all(waiting)).every(({ outcome }) => outcome.landed)).toBe(true);
  });

  test("what has waited longer than the deadline, and sends the rest", async () => {
    const { queue, groups, first, busy } = await behindOne(50);
    const late = queue.push(one("late"));
    const refused = errorOf(late);
    const end = performance.now() + 60;
    while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
    const timely = queue.push(one("timely"));
    busy.open();
    expect((await first).outcome.landed).toBe(true);
    expect(await refused).toMatchObject({
      code: "DEADLINE",
      sent: false,
      message: "the commit waited 50 ms for the append lock and was not sent",
    });
    expect((await timely).outcome.landed).toBe(true);
    expect(groups).toEqual([["a"], ["timely"]]);
  });
});

test("who waits behind a group that takes long is told at the deadline, not when that group ends", async () => {
  const { queue, groups, first, busy } = await behindOne(100);
  const early = errorOf(queue.push(one("early")));
  const end = performance.now() + 60;
  while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
  const late = errorOf(queue.push(one("late")));
  expect(await early).toMatchObject({ code: "DEADLINE", sent: false });
  expect(await Promise.race([late, "still waiting"])).toBe("still waiting");
  expect(await late).toMatchObject({ code: "DEADLINE", sent: false });
  busy.open();
  expect((await first).outcome.landed).toBe(true);
  await queue.close();
  expect(groups).toEqual([["a"]]);
});

describe("by the clock, a commit", () => {
  /** Time stands still, but for the timers that are waited for. */
  const stopClock = () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"], now: 1_000 });
    onTestFinished(() => void vi.useRealTimers());
    return vi.spyOn(globalThis, "setTimeout");
  };

  test("that waits without a deadline needs no timer", async () => {
    const timers = stopClock();
    const { queue, first, busy } = await behindOne(0);
    const behind = queue.push(one("b"));
    busy.open();
    expect((await first).outcome.landed && (await behind).outcome.landed).toBe(true);
    expect(timers).not.toHaveBeenCalled();
  });

  test("that waits with one is watched by the timer of the oldest, and by none once all is done", async () => {
    const timers = stopClock();
    const { queue, first, busy } = await behindOne(50);
    // That of the first, which has been sent meanwhile.
    await vi.advanceTimersByTimeAsync(51);
    const told: string[] = [];
    const push = (stream: string) => errorOf(queue.push(one(stream))).then(() => told.push(stream));
    const refused = [push("b"), push("c")];
    await vi.advanceTimersByTimeAsync(20);
    refused.push(push("d"));
    await vi.advanceTimersByTimeAsync(30);
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toEqual(["b", "c"]);
    await vi.advanceTimersByTimeAsync(20);
    expect(told).toEqual(["b", "c", "d"]);
    await Promise.all(refused);
    expect(timers.mock.calls.map(([, ms]) => ms)).toEqual([51, 51, 20]);
    // A group under way keeps the process alive, not who waits behind it.
    expect(timers.mock.results.map(({ value }) => value.hasRef())).toEqual([false, false, false]);
    const last = queue.push(one("e"));
    expect(vi.getTimerCount()).toBe(1);
    busy.open();
    expect((await first).outcome.landed && (await last).outcome.landed).toBe(true);
    await queue.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that is late when its turn comes is not sent, though its timer has not gone off", async () => {
    const { queue, groups, first, busy } = await behindOne(50);
    const refused = ["b", "c"].map((stream) => errorOf(queue.push(one(stream))));
    // As if the process had been busy for so long.
    vi.spyOn(performance, "now").mockReturnValue(performance.now() + 51);
    onTestFinished(() => void vi.restoreAllMocks());
    busy.open();
    expect((await first).outcome.landed).toBe(true);
    for (const error of await Promise.all(refused)) expect(error).toMatchObject({ code: "DEADLINE" });
    await queue.close();
    expect(groups).toEqual([["a"]]);
  });

  test("is in time to the millisecond of its deadline", async () => {
    stopClock();
    const { queue, groups, first, busy } = await behindOne(50);
    await vi.advanceTimersByTimeAsync(10);
    const behind = queue.push(one("b"));
    await vi.advanceTimersByTimeAsync(50);
    busy.open();
    expect((await first).outcome.landed && (await behind).outcome.landed).toBe(true);
    expect(groups).toEqual([["a"], ["b"]]);
  });
});

describe("a server error", () => {
  // 22008 has the digits of a class that would be nobody's fault, but not in front.
  test.each(["22P02", "22008"])("%s of the rows fails its commit only: the others go again", async (code) => {
    const { queue, groups } = scene({
      send: (sent) => {
        if (sent.group.includes("bad")) throw new DatabaseError(code, "bad");
        fine(sent);
      },
    });
    const [a, bad, b] = ["a", "bad", "b"].map((stream) => queue.push(one(stream)));
    expect(await errorOf(bad ?? Promise.resolve())).toMatchObject({ code });
    expect((await a)?.outcome.landed && (await b)?.outcome.landed).toBe(true);
    expect(groups).toEqual([["a", "bad", "b"], ["a"], ["bad"], ["b"]]);
  });

  test.each(["08006", "25006", "28000", "3D000", "53100", "55P03", "57014", "42P01", "26000"])(
    "%s is nobody's fault: all are told, none goes again",
    async (code) => {
      const { queue, groups } = scene({
        send: () => {
          throw new DatabaseError(code, "why");
        },
      });
      const all = ["a", "b"].map((stream) => errorOf(queue.push(one(stream))));
      for (const error of await Promise.all(all)) expect(error).toMatchObject({ code, message: "why" });
      expect(groups).toEqual([["a", "b"]]);
    },
  );

  test("that says no more than that the connection is refused is nobody's fault", async () => {
    const { queue, groups } = scene({
      open: () => {
        throw new ConnectionError("ECONNREFUSED", "refused", false);
      },
    });
    const all = ["a", "b"].map((stream) => errorOf(queue.push(one(stream))));
    for (const error of await Promise.all(all)) expect(error).toMatchObject({ code: "ECONNREFUSED" });
    expect(groups).toEqual([]);
  });

  test.each(["40001", "40P01"])("%s is tried twice more", async (code) => {
    let fails = 2;
    const script: Script = {
      send: (sent) => {
        if (fails-- > 0) throw new DatabaseError(code, "again");
        fine(sent);
      },
    };
    const { queue, groups } = scene(script);
    expect((await queue.push(one("a"))).outcome.landed).toBe(true);
    expect(groups.length).toBe(3);
    fails = 3;
    expect(await errorOf(queue.push(one("a")))).toMatchObject({ code });
    expect(groups.length).toBe(6);
  });

  test.each(["CONNECTION_CLOSED", "57P01"])(
    "%s before anything was sent is tried twice more",
    async (code) => {
      let fails = 2;
      let opened = 0;
      const { queue } = scene({
        open: () => {
          opened++;
          if (fails-- > 0) throw new ConnectionError(code, "gone", false);
        },
      });
      expect((await queue.push(one("a"))).outcome.landed).toBe(true);
      expect(opened).toBe(3);
      fails = 3;
      expect(await errorOf(queue.push(one("a")))).toMatchObject({ code });
      expect(opened).toBe(6);
    },
  );
});
