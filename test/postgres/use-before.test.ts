/** A connection by a deadline, or none. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { Connection } from "../../src/postgres/connection.ts";
import { instantIn, lessOf, msUntil } from "../../src/postgres/deadline.ts";
import { useBefore } from "../../src/postgres/use-before.ts";
import { gate } from "../conformance/kit/eventually.ts";

/** A pool that has a connection once the gate is open. */
const poolOf = (opened: ReturnType<typeof gate>) => ({
  use: async <T>(work: (connection: Connection) => Promise<T>) => {
    await opened.passed;
    return work({} as Connection);
  },
});

describe("a connection", () => {
  test("that is not to be had in time is not waited for, and not used when it comes", async () => {
    const opened = gate();
    const work = vi.fn(async () => 1);
    await expect(useBefore(poolOf(opened), performance.now() + 20, work)).rejects.toMatchObject({
      code: "DEADLINE",
      sent: false,
      message: expect.stringMatching(/^there was no connection in time, and nothing was sent: /),
    });
    opened.open();
    await new Promise(setImmediate);
    expect(work).not.toHaveBeenCalled();
  });

  test("that comes in time is used for as long as its work takes", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const [opened, begun, done] = [gate(), gate(), gate()];
    const result = useBefore(poolOf(opened), performance.now() + 20, async () => {
      begun.open();
      await done.passed;
      return 1;
    });
    opened.open();
    await begun.passed;
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(100);
    done.open();
    expect(await result).toBe(1);
  });

  test("that is there at once needs no timer", async () => {
    const timers = vi.spyOn(globalThis, "setTimeout");
    onTestFinished(() => void timers.mockRestore());
    const idle = { use: <T>(work: (connection: Connection) => Promise<T>) => work({} as Connection) };
    expect(await useBefore(idle, performance.now() + 20, async () => 1)).toBe(1);
    expect(timers).not.toHaveBeenCalled();
  });

  test("that cannot be opened fails as the pool says", async () => {
    const broken = { use: () => Promise.reject(new Error("refused")) };
    for (const end of [performance.now() + 1_000, Number.POSITIVE_INFINITY])
      await expect(useBefore(broken, end, async () => 1)).rejects.toThrow("refused");
  });
});

test("a deadline is an instant: what is left of it is a limit for timers, of which 0 is none", () => {
  vi.useFakeTimers({ toFake: ["performance"], now: 500 });
  onTestFinished(() => void vi.useRealTimers());
  const now = performance.now();
  expect([instantIn(50), instantIn(0)]).toEqual([now + 50, Number.POSITIVE_INFINITY]);
  expect([msUntil(now + 50), msUntil(now - 50), msUntil(Number.POSITIVE_INFINITY)]).toEqual([50, 1, 0]);
  expect([lessOf(5, 3), lessOf(0, 3), lessOf(5, 0), lessOf(0, 0)]).toEqual([3, 3, 5, 0]);
});
