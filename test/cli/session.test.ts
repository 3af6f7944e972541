/** What a command takes as a number and as a time. */
import { InvalidArgumentError } from "commander";
import { expect, test } from "vitest";
import { toCount, toEventId, toFuture, toTime } from "../../src/cli/session.ts";
import { runCommand } from "./command.ts";

test.each(["", " ", "0x10", "1e3", "1.5", "-1", "NaN", "Infinity", "99999999999999999999"])(
  "%j is neither a count nor the id of an event",
  (text) => {
    expect(() => toCount(text)).toThrow(InvalidArgumentError);
    expect(() => toEventId(text)).toThrow(InvalidArgumentError);
  },
);

test("whole numbers are", () => {
  expect([toCount("1"), toEventId("0"), toEventId("4711")]).toEqual([1, 0, 4711]);
  expect(() => toCount("0")).toThrow(InvalidArgumentError);
});

test.each(["", "5", "soon", "12:00", "2026-13-01", "99999999999d", "1w", "-2h"])("%j is no time", (text) => {
  expect(() => toTime(text)).toThrow(InvalidArgumentError);
  expect(() => toFuture(text)).toThrow(InvalidArgumentError);
});

test("a time is a date, or so long ago or from now", () => {
  expect(toTime("2026-01-31T12:00Z")).toEqual(new Date("2026-01-31T12:00Z"));
  expect(toTime("2026")).toEqual(new Date("2026-01-01T00:00Z"));
  expect(toTime("2h").getTime()).toBeLessThanOrEqual(Date.now() - 7_200_000);
  expect(toFuture("2h").getTime()).toBeGreaterThan(Date.now());
});

test.each([
  [["reset", "--match", ""], "--match must not be empty"],
  [["stream", ""], "name must be a string that is not empty"],
])("%j is refused before the server is asked", async (args, message) => {
  const { code, err } = await runCommand([...args, "--url", "postgres://127.0.0.1:1/x"]);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
