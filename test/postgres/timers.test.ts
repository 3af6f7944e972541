/** Deadlines that let what has arrived already be read first. */
import { once } from "node:events";
import net from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { afterPoll, LONGEST_MS } from "../../src/postgres/timers.ts";

/** Two ends of a connection on 127.0.0.1. */
async function pair() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Not listening on a port");
  const here = net.connect(address.port, "127.0.0.1");
  const [there] = (await once(server, "connection")) as [net.Socket];
  onTestFinished(() => {
    here.destroy();
    there.destroy();
    server.close();
  });
  return { here, there };
}

const block = (ms: number) => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};

/** Timers pass when the test says so; what runs after the sockets were read is really waited for. */
const stopClock = () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
  return vi.spyOn(globalThis, "setTimeout");
};
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("an answer that lies in the socket after a blocked event loop comes before the deadline", async () => {
  const { here, there } = await pair();
  const order: string[] = [];
  const cancel = afterPoll(20, () => order.push("deadline"));
  here.once("data", () => {
    order.push("answer");
    cancel();
  });
  there.write("x");
  block(60);
  // Longer than the timer above, which must not have fired: what does not happen gives no signal.
  await new Promise((resolve) => setTimeout(resolve, 20));
  await turn();
  expect(order).toEqual(["answer"]);
});

describe("a deadline", () => {
  test("strikes when nothing comes, once the sockets have been read", async () => {
    stopClock();
    const work = vi.fn();
    afterPoll(50, work);
    vi.advanceTimersByTime(49);
    await turn();
    expect(work).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(work).not.toHaveBeenCalled();
    await turn();
    expect(work).toHaveBeenCalledTimes(1);
  });

  test("does not strike once it is cancelled, even in its last moment", async () => {
    stopClock();
    const work = vi.fn();
    const cancelled = afterPoll(50, work);
    const late = afterPoll(50, work);
    cancelled();
    vi.advanceTimersByTime(50);
    late();
    await turn();
    await turn();
    expect(work).not.toHaveBeenCalled();
  });

  test("waits as long as more comes", async () => {
    stopClock();
    const work = vi.fn();
    let bytes = 0;
    afterPoll(50, work, () => bytes);
    vi.advanceTimersByTime(50);
    for (let i = 0; i < 20; i++) {
      bytes++;
      await turn();
    }
    expect(work).not.toHaveBeenCalled();
    await turn();
    await turn();
    expect(work).toHaveBeenCalledTimes(1);
  });

  test("waits no longer than a second for it to end", async () => {
    stopClock();
    const work = vi.fn();
    let bytes = 0;
    afterPoll(50, work, () => bytes++);
    vi.advanceTimersByTime(50);
    await turn();
    vi.advanceTimersByTime(999);
    await turn();
    expect(work).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    await turn();
    await turn();
    expect(work).toHaveBeenCalledTimes(1);
  });

  test.each([0, -1])("of %i ms is none", (ms) => {
    const timers = stopClock();
    afterPoll(ms, () => {})();
    expect(timers).not.toHaveBeenCalled();
  });

  test("is as long as Node's timers go at most: with a longer one they call at once", () => {
    const timers = stopClock();
    afterPoll(Number.MAX_SAFE_INTEGER, () => {})();
    expect(timers.mock.calls.map(([, ms]) => ms)).toEqual([LONGEST_MS]);
  });

  test("keeps the process alive, unless told otherwise", () => {
    const timers = stopClock();
    afterPoll(50, () => {});
    afterPoll(50, () => {}, undefined, { unref: true });
    expect(timers.mock.results.map(({ value }) => value.hasRef())).toEqual([true, false]);
  });
});
