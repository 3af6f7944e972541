/** When an app tries again that was refused the lease of its correlator. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Correlators } from "../../src/correlators.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const REQUEST = { key: "k", by: "me", millis: 5_000 };

/** Is refused, and returns the ms until the next try, which then is made. */
function refused(correlators: Correlators): number {
  correlators.noteRequest(REQUEST, false);
  const wait = correlators.retryIn ?? Number.NaN;
  vi.advanceTimersByTime(wait);
  expect(correlators.takeRetry()).toBe(true);
  return wait;
}

test("the wait doubles while nothing moves: many processes that are refused come to rest", () => {
  const correlators = new Correlators();
  const waits = Array.from({ length: 6 }, () => {
    correlators.noteStart("k", 7);
    return refused(correlators);
  });
  expect(waits).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
});

test.each([
  ["the checkpoint moves", (correlators: Correlators) => correlators.noteStart("k", 8)],
  ["a lease is granted", (correlators: Correlators) => correlators.noteRequest(REQUEST, true)],
])("once %s, the next wait is short again", (_, moves) => {
  const correlators = new Correlators();
  correlators.noteStart("k", 7);
  expect([refused(correlators), refused(correlators)]).toEqual([5_000, 10_000]);
  moves(correlators);
  expect(refused(correlators)).toBe(5_000);
});

test("refusals while a try is due make it no later", () => {
  const correlators = new Correlators();
  for (let n = 0; n < 5; n++) correlators.noteRequest(REQUEST, false);
  expect(correlators.retryIn).toBe(5_000);
});

test("a checkpoint that has become lower is that of a restored log, and the app begins there", () => {
  const correlators = new Correlators();
  correlators.noteStart("", 9);
  correlators.noteStart("k", 3);
  expect(correlators.start).toBe(9);
  correlators.noteStart("k", -1);
  expect(correlators.start).toBe(-1);
});
