/** What is inferred from the answers about a batch in doubt. What is asked for is tested elsewhere, on a server. */
import { describe, expect, test } from "vitest";
import { firstEventOf, type InDoubtTransaction, inferOutcomes } from "../../src/events/recover.ts";
import type { Row } from "../../src/postgres/index.ts";
import { backend, commit } from "./fixture.ts";

const entry = { name: "A", data: "{}", pii: null, dates: "{}" };
const one = commit("a");
const two = commit("b", { events: [entry, entry] });

const transaction = (over: Partial<InDoubtTransaction> = {}): InDoubtTransaction => ({
  backend,
  after: 0,
  firstEvent: "1 700",
  known: undefined,
  until: undefined,
  ...over,
});
const first: Row = { first_event: "1 700", by_commit: true };
const absent: Row = { head: null, ids: null, created: null, truncated: false };
const found: Row = { ...absent, head: 4, ids: "{7,8}", created: 10 };

const infer = (row: Row, over: Partial<InDoubtTransaction> = {}, firstNow: Row | undefined = first) => {
  const clock = over.until === undefined ? [] : [[{ clock: 9_000 }]];
  const answers = [...clock, [], [], [row], firstNow ? [firstNow] : []];
  return inferOutcomes([two], transaction(over), answers)[0];
};

const stored = { outcome: { accepted: true, head: 4, ids: [7, 8] }, created: new Date(10) };

describe("a commit whose token is in the log", () => {
  test("is stored, behind the head that it met", () => {
    expect(infer(found)).toEqual(stored);
  });

  test("is stored though its stream is truncated, the log restored, or its message still awaited", () => {
    expect(infer({ ...found, truncated: true })).toEqual(stored);
    expect(infer(found, { firstEvent: "1 1" })).toEqual(stored);
    expect(infer(found, { until: 9_999 })).toEqual(stored);
  });

  test("is unknown if not all of its events are there", () => {
    for (const ids of ["{7}", "{7,8,9}", null]) expect(infer({ ...found, ids })).toBe("unknown");
  });
});

describe("a commit whose token is not in the log", () => {
  test("is absent: its server process has ended", () => {
    expect(infer(absent)).toBe("absent");
  });

  test("is unknown if its stream has been truncated since", () => {
    expect(infer({ ...absent, truncated: true })).toBe("unknown");
    expect(infer({ ...absent, truncated: true }, { until: 9_999 })).toBe("unknown");
  });

  test("is unknown if the log's first event is another one, or there is none any more: restored", () => {
    for (const now of [
      { first_event: "1 701", by_commit: true },
      { first_event: "2 700", by_commit: true },
      undefined,
    ])
      expect(inferOutcomes([two], transaction(), [[], [], [absent], now ? [now] : []])).toEqual(["unknown"]);
  });

  test("is absent in a log that was empty, and is so still or begins with a commit", () => {
    const before = { firstEvent: undefined };
    expect(inferOutcomes([two], transaction(before), [[], [], [absent], []])).toEqual(["absent"]);
    expect(infer(absent, before, { first_event: "1 700", by_commit: true })).toBe("absent");
  });

  test("is unknown in a log that was empty and begins with what no commit has written", () => {
    for (const by_commit of [false, null])
      expect(infer(absent, { firstEvent: undefined }, { first_event: "1 700", by_commit })).toBe("unknown");
  });

  test("is pending as long as its message may still begin, by the server's clock, which may be set back by a second", () => {
    expect(infer(absent, { until: 9_000 })).toBe("pending");
    expect(infer(absent, { until: 8_000 })).toBe("pending");
    expect(infer(absent, { until: 7_999 })).toBe("absent");
  });

  test("is pending if the clock is not known", () => {
    for (const clock of [undefined, {}, { clock: null }])
      expect(
        inferOutcomes([two], transaction({ until: 1 }), [clock ? [clock] : [], [], [], [absent], [first]]),
      ).toEqual(["pending"]);
  });

  test("is absent as long as a commit from before has its token, whatever the log begins with", () => {
    const outcome = (known: unknown, firstNow: Row[]) =>
      inferOutcomes([two], transaction(), [[], [], [absent], firstNow, [{ known }]])[0];
    const other = { first_event: "9 800", by_commit: true };
    expect(outcome(true, [other])).toBe("absent");
    expect(outcome(true, [])).toBe("absent");
    expect(outcome(false, [other])).toBe("unknown");
    expect(outcome(false, [first])).toBe("absent");
  });

  test("is unknown rather than pending in a restored log", () => {
    expect(infer(absent, { until: 9_999, firstEvent: "1 1" })).toBe("unknown");
  });
});

describe("a batch", () => {
  test("is told commit by commit", () => {
    const rows = [{ ...found, ids: "{7}" }, absent, { ...absent, truncated: true }];
    expect(inferOutcomes([one, two, one], transaction(), [[], [], rows, [first]])).toEqual([
      { outcome: { accepted: true, head: 4, ids: [7] }, created: new Date(10) },
      "absent",
      "unknown",
    ]);
  });

  test("about which there is no answer, or none for one of its commits, is unknown", () => {
    for (const answers of [[], [[], []], [[], [], [], [first]]])
      expect(inferOutcomes([one, two], transaction(), answers)).toEqual(["unknown", "unknown"]);
    expect(inferOutcomes([one, two], transaction(), [[], [], [absent], [first]])).toEqual([
      "absent",
      "unknown",
    ]);
  });
});

test("the first event is known by its id and its row version; an empty log has none", () => {
  expect(firstEventOf({ first_event: "1 700" })).toBe("1 700");
  expect(firstEventOf(undefined)).toBeUndefined();
  expect(firstEventOf({ first_event: null })).toBeUndefined();
});
