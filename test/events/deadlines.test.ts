/** Each commit settles by its own deadline, whatever its neighbours and the server do; without a server. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ConnectionError } from "../../src/errors.ts";
import { TransactionFailure } from "../../src/postgres/index.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { commit, errorOf, fixture, found, lose, recovered, refuse, stored } from "./fixture.ts";

/** A queue whose first batch, a commit to `a`, is under way until `busy` is opened. */
async function behindOne(deadline: number) {
  const busy = gate();
  const started = gate();
  let calls = 0;
  const { queue, batches } = fixture({
    deadline,
    send: async (sent) => {
      started.open();
      if (calls++ === 0) await busy.passed;
      return stored(sent);
    },
  });
  const first = queue.push(commit("a"));
  await started.passed;
  return { queue, batches, first, busy };
}

/** What is settled by now, without waiting for it. */
const now = <T>(promise: Promise<T>) =>
  Promise.race([promise, new Promise<string>((resolve) => setImmediate(resolve, "still waiting"))]);

describe("by its deadline a commit", () => {
  /** Time stands still, but for the timers that are waited for. */
  const stopClock = () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"], now: 1_000 });
    onTestFinished(() => void vi.useRealTimers());
    return vi.spyOn(globalThis, "setTimeout");
  };

  test("that waits behind a slow batch fails, though that batch has not ended; the rest goes out", async () => {
    stopClock();
    const { queue, batches, first, busy } = await behindOne(50);
    const late = errorOf(queue.push(commit("late")));
    await vi.advanceTimersByTimeAsync(40);
    const timely = queue.push(commit("timely"));
    await vi.advanceTimersByTimeAsync(11);
    expect(await now(late)).toMatchObject({
      code: "DEADLINE",
      sent: false,
      message: expect.stringMatching(
        /^the commit waited 50 ms for its turn, and nothing of it was written: /,
      ),
    });
    busy.open();
    expect((await first).outcome.accepted && (await timely).outcome.accepted).toBe(true);
    expect(batches).toEqual([["a"], ["timely"]]);
  });

  test("that has none needs no timer", async () => {
    const timers = stopClock();
    const { queue, first, busy } = await behindOne(0);
    const behind = queue.push(commit("b"));
    busy.open();
    expect((await first).outcome.accepted && (await behind).outcome.accepted).toBe(true);
    expect(timers).not.toHaveBeenCalled();
  });

  test("is watched by the timer of the oldest, and by none once all is done", async () => {
    const timers = stopClock();
    const { queue, first, busy } = await behindOne(50);
    // That of the first, which has been sent meanwhile.
    await vi.advanceTimersByTimeAsync(51);
    const told: string[] = [];
    const push = (stream: string) => errorOf(queue.push(commit(stream))).then(() => told.push(stream));
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
    // A batch under way keeps the process alive, not what waits behind it.
    expect(timers.mock.results.map(({ value }) => value.hasRef())).toEqual([false, false, false]);
    const last = queue.push(commit("e"));
    expect(vi.getTimerCount()).toBe(1);
    busy.open();
    expect((await first).outcome.accepted && (await last).outcome.accepted).toBe(true);
    await queue.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that is late when its turn comes is not sent, though its timer has not gone off", async () => {
    const { queue, batches, first, busy } = await behindOne(50);
    const refused = ["b", "c"].map((stream) => errorOf(queue.push(commit(stream))));
    // As if the process had been busy for so long.
    vi.spyOn(performance, "now").mockReturnValue(performance.now() + 51);
    onTestFinished(() => void vi.restoreAllMocks());
    busy.open();
    expect((await first).outcome.accepted).toBe(true);
    for (const error of await Promise.all(refused)) expect(error).toMatchObject({ code: "DEADLINE" });
    await queue.close();
    expect(batches).toEqual([["a"]]);
  });

  test("is in time to the millisecond", async () => {
    stopClock();
    const { queue, batches, first, busy } = await behindOne(50);
    await vi.advanceTimersByTimeAsync(10);
    const behind = queue.push(commit("b"));
    await vi.advanceTimersByTimeAsync(50);
    busy.open();
    expect((await first).outcome.accepted && (await behind).outcome.accepted).toBe(true);
    expect(batches).toEqual([["a"], ["b"]]);
  });

  test("has what its oldest neighbour has left, on the connection too", async () => {
    stopClock();
    const busy = gate();
    const { queue, sent } = fixture({
      deadline: 1_000,
      send: async (one) => (one.streams.includes("a") ? busy.passed.then(() => stored(one)) : stored(one)),
    });
    const first = queue.push(commit("a"));
    await vi.advanceTimersByTimeAsync(1);
    const second = queue.push(commit("b"));
    await vi.advanceTimersByTimeAsync(300);
    const third = queue.push(commit("c"));
    busy.open();
    await Promise.all([first, second, third]);
    expect(sent.map(({ deadline }) => deadline)).toEqual([1_000, 700]);
  });

  test("does not fail with an older neighbour, whose time on the connection is over: it goes again, alone", async () => {
    stopClock();
    const busy = gate();
    const tooLate = new ConnectionError("DEADLINE", "no answer", true);
    const { queue, batches, sent } = fixture({
      deadline: 1_000,
      send: async (one) => {
        if (one.streams.includes("a")) await busy.passed;
        if (!one.streams.includes("old")) return stored(one);
        vi.advanceTimersByTime(one.deadline);
        throw new TransactionFailure(tooLate);
      },
    });
    const first = queue.push(commit("a"));
    await vi.advanceTimersByTimeAsync(1);
    const old = errorOf(queue.push(commit("old")));
    await vi.advanceTimersByTimeAsync(600);
    const young = ["b", "c"].map((stream) => queue.push(commit(stream)));
    busy.open();
    expect(await old).toMatchObject({ code: "DEADLINE", message: expect.stringMatching(/^no answer: /) });
    for (const { outcome } of await Promise.all([first, ...young])) expect(outcome.accepted).toBe(true);
    expect(batches).toEqual([["a"], ["old", "b", "c"], ["b"], ["c"]]);
    expect(sent.map(({ deadline }) => deadline)).toEqual([1_000, 400, 600, 600]);
  });

  test("takes no neighbour along that was stored: what could not be read goes never again", async () => {
    stopClock();
    const busy = gate();
    const { queue, batches } = fixture({
      deadline: 1_000,
      send: async (one) => {
        if (one.streams.includes("a")) return busy.passed.then(() => stored(one));
        // The answer comes when the time of the oldest is over, and makes no sense.
        vi.advanceTimersByTime(one.deadline);
        return one.queries.map(() => ({ rows: [], tag: "" }));
      },
    });
    const first = queue.push(commit("a"));
    await vi.advanceTimersByTimeAsync(1);
    const old = errorOf(queue.push(commit("old")));
    await vi.advanceTimersByTimeAsync(600);
    const young = errorOf(queue.push(commit("young")));
    busy.open();
    await first;
    expect([await old, await young]).toMatchObject([
      { code: "OUTCOME_UNKNOWN" },
      { code: "OUTCOME_UNKNOWN" },
    ]);
    expect(batches).toEqual([["a"], ["old", "young"]]);
  });

  test("ends the look for it in the log too, or five seconds after the loss", async () => {
    stopClock();
    const { queue, recoveries } = fixture({
      deadline: 60_000,
      send: lose,
      recover: () => recovered([found(-1, 9)]),
    });
    const start = performance.now();
    await queue.push(commit("a"));
    expect(recoveries.map(({ end }) => end - start)).toEqual([60_000]);
    const short = fixture({ deadline: 1_000, send: lose, recover: () => recovered([found(-1, 9)]) });
    await short.queue.push(commit("a"));
    expect(short.recoveries.map(({ end }) => end - start)).toEqual([5_000]);
  });

  test("fails with all others where a server does not answer in time, though they have time left", async () => {
    stopClock();
    const { queue, batches } = fixture({
      deadline: 60_000,
      send: () => {
        vi.advanceTimersByTime(10_000);
        throw new TransactionFailure(new ConnectionError("CONNECT_TIMEOUT", "no answer", false));
      },
    });
    for (const error of await Promise.all(["a", "b"].map((stream) => errorOf(queue.push(commit(stream))))))
      expect(error).toMatchObject({ code: "CONNECT_TIMEOUT" });
    expect(batches.length).toBe(1);
  });

  test("that passes while the server answers sets no timer to the past: Node would warn of it", async () => {
    const timers = stopClock();
    const { queue } = fixture({
      deadline: 50,
      send: () => {
        vi.advanceTimersByTime(60);
        return refuse("40001");
      },
    });
    await errorOf(queue.push(commit("a")));
    expect(timers.mock.calls.length).toBeGreaterThan(0);
    for (const [, ms] of timers.mock.calls) expect(ms).toBeGreaterThanOrEqual(0);
  });

  test("that was sent before, and could not be completed, is told that it was not applied", async () => {
    stopClock();
    const { queue } = fixture({
      deadline: 50,
      send: () => {
        vi.advanceTimersByTime(51);
        return refuse("40001");
      },
    });
    expect(await errorOf(queue.push(commit("a")))).toMatchObject({
      code: "DEADLINE",
      sent: false,
      message: expect.stringMatching(/^the commit could not be completed within 50 ms and was not applied: /),
    });
  });
});
