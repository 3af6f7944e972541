/** How many of the waiting commits make a batch. */
import { describe, expect, test } from "vitest";
import { BatchLimits } from "../../src/events/batch-limits.ts";

type Waiting = { characters?: number; events?: number; alone?: boolean };
const waiting = (commits: readonly Waiting[]) =>
  commits.map(({ characters = 1, events = 1, alone = false }) => ({
    characters,
    events: Array.from({ length: events }),
    alone,
  }));
const count = (...commits: Waiting[]) => new BatchLimits().count(waiting(commits));
const many = (length: number, one: Waiting = {}) => Array.from({ length }, () => one);

describe("a batch", () => {
  test("has 512 commits at most", () => {
    expect(count(...many(512))).toBe(512);
    expect(count(...many(2_000))).toBe(512);
  });

  test("has 1,000 events at most, or one commit", () => {
    expect(count({ events: 999 }, {}, {})).toBe(2);
    expect(count({ events: 1_000 }, {})).toBe(1);
    expect(count({ events: 5_000 }, {})).toBe(1);
    expect(count({}, { events: 5_000 })).toBe(1);
  });

  test("has 4,000,000 characters at most, or one commit", () => {
    expect(count({ characters: 3_999_999 }, {}, {})).toBe(2);
    expect(count({ characters: 15_000_000 }, {})).toBe(1);
    expect(count({}, { characters: 15_000_000 })).toBe(1);
  });

  test("has one commit if that goes alone, and ends before one that does", () => {
    expect(count({ alone: true }, {})).toBe(1);
    expect(count({}, {}, { alone: true }, {})).toBe(2);
  });

  test("of nothing is none", () => {
    expect(count()).toBe(0);
  });
});

describe("on a slow network a batch", () => {
  /** The characters that fit after these transfers, in steps of 1,000. */
  const textAfter = (...transfers: (readonly [bytes: number, ms: number])[]) => {
    const limits = new BatchLimits();
    for (const [bytes, ms] of transfers) limits.transferred(bytes, ms);
    let fits = 0;
    for (let text = 1_000; text <= 5_000_000; text += 1_000)
      if (limits.count(waiting([{ characters: text }, { characters: 0 }, { characters: 0 }])) > 1)
        fits = text;
    return fits;
  };

  test("is what it carries in half a second", () => {
    expect(textAfter([1_000_000, 1_000])).toBe(500_000);
    expect(textAfter([600_000, 2_000])).toBe(150_000);
  });

  test("is never so small that transfers would no longer be measured", () => {
    expect(textAfter([100_000, 60_000])).toBe(128_000);
  });

  test("is never larger than on a fast one, however fast that is", () => {
    expect(textAfter([1_000_000, 0])).toBe(4_000_000);
    expect(textAfter([1_000_000, 1])).toBe(4_000_000);
  });

  test("follows the last transfer, down and up", () => {
    expect(textAfter([600_000, 2_000], [1_000_000, 1_000])).toBe(500_000);
    expect(textAfter([1_000_000, 1_000], [600_000, 2_000])).toBe(150_000);
  });
});
