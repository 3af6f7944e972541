/** When a listener looks for work that nobody announced, and what it reports of it; on a scripted connection and clock. */
import { expect, test, vi } from "vitest";
import type { Context } from "../../src/context.ts";
import { LookOut, RecentClaims } from "../../src/notifications/look-out.ts";
import type { Row } from "../../src/postgres/index.ts";
import { namesOf } from "../../src/schema/names.ts";
import { useFakeClock } from "./fixture.ts";

// Without jitter looks come after exactly one period, and 250 ms after an announcement.
useFakeClock();

const NOTHING: Row = {
  newest: "9",
  checkpoint: "9",
  due_in: null,
  lane: null,
  state: null,
  id: null,
  name: null,
  stream: null,
};
const work = (state: string, over: Row = {}): Row => ({
  ...NOTHING,
  lane: "default",
  state,
  id: "7",
  name: "A",
  stream: "s",
  ...over,
});

function scripted({ period = 4_000 } = {}) {
  const state = { rows: [NOTHING] as Row[], fails: false };
  /** When it looked, in ms since the start, and which lanes it left out. */
  const looks: [at: number, busy: unknown][] = [];
  const reported: number[][] = [];
  const start = performance.now();
  const read = async (_: string, query: { readonly params?: readonly unknown[] }) => {
    looks.push([Math.round(performance.now() - start), query.params?.[0]]);
    if (state.fails) throw new Error("no answer");
    return state.rows;
  };
  const context = {
    names: namesOf("public", "events"),
    connections: { read },
    pollIntervalMillis: period,
  };
  const claims = new RecentClaims();
  const lookOut = new LookOut(context as unknown as Context, {
    claims,
    position: () => 9,
    isKnown: () => false,
    report: (events) => reported.push(events.map(({ id }) => id)),
  });
  lookOut.start();
  return {
    state,
    looks,
    reported,
    claims,
    lookOut,
    pass: (ms: number) => vi.advanceTimersByTimeAsync(ms),
  };
}

test("it looks every period, with a quarter of it more or less", async () => {
  const { looks, pass } = scripted();
  vi.mocked(Math.random).mockReturnValueOnce(0).mockReturnValueOnce(1);
  await pass(12_999);
  expect(looks.map(([at]) => at)).toEqual([4_000, 7_000, 12_000]);
});

test("it leaves out the lanes in which the app claims", async () => {
  const { looks, claims, pass } = scripted();
  await pass(3_000);
  claims.note(undefined);
  await pass(4_000);
  claims.note("mail");
  await pass(5_000);
  expect(looks).toEqual([
    [4_000, null],
    [8_000, '{"mail"}'],
    [12_000, "{}"],
  ]);
});

test("it looks soon after an announcement, however many there are, and whatever was claimed before", async () => {
  const { looks, claims, lookOut, pass } = scripted();
  await pass(100);
  claims.note(undefined);
  await pass(1);
  for (let n = 0; n < 1_000; n++) lookOut.announced();
  await pass(260);
  expect(looks).toEqual([[351, "{}"]]);
});

test("an announced look leaves out all lanes if the app claims first", async () => {
  const { looks, claims, lookOut, pass } = scripted();
  lookOut.announced();
  await pass(200);
  claims.note(undefined);
  await pass(100);
  expect(looks).toEqual([[250, null]]);
});

test("it looks when deferred work is due", async () => {
  const { state, looks, pass } = scripted();
  state.rows = [{ ...NOTHING, due_in: 1_000 }];
  await pass(4_001);
  state.rows = [NOTHING];
  await pass(6_000);
  expect(looks.map(([at]) => at)).toEqual([4_000, 5_250, 9_250]);
});

test("without a period it looks only after an announcement, and from then on when something is due", async () => {
  const { state, looks, lookOut, pass } = scripted({ period: 0 });
  await pass(60_000);
  expect(looks).toEqual([]);
  state.rows = [{ ...NOTHING, due_in: 1_000 }];
  lookOut.announced();
  await pass(251);
  state.rows = [NOTHING];
  await pass(60_000);
  expect(looks.map(([at]) => at)).toEqual([60_250, 61_500]);
});

test("what the app leaves alone is reported again after longer and longer pauses, what changes at once", async () => {
  const { state, looks, reported, pass } = scripted();
  state.rows = [work("a")];
  await pass(60_001);
  expect(looks).toHaveLength(15);
  // At 4, 8, 16 and 32 s, and from then on every 30 s or so.
  expect(reported).toEqual([[7], [7], [7], [7]]);
  state.rows = [work("b", { id: "8" })];
  await pass(4_000);
  expect(reported.at(-1)).toEqual([8]);
});

test("each lane is reported by itself", async () => {
  const { state, reported, pass } = scripted();
  state.rows = [work("a"), work("b", { lane: "mail", id: "8" }), work("b", { lane: "mail", id: "9" })];
  await pass(4_001);
  expect(reported).toEqual([[7], [8, 9]]);
});

test("it looks again after a look that failed", async () => {
  const { state, looks, reported, pass } = scripted();
  state.fails = true;
  await pass(4_001);
  state.fails = false;
  state.rows = [work("a")];
  await pass(4_001);
  expect(looks).toHaveLength(2);
  expect(reported).toEqual([[7]]);
});

test("it neither looks nor reports after its end", async () => {
  const { state, looks, reported, lookOut, pass } = scripted();
  state.rows = [work("a")];
  vi.advanceTimersByTime(4_000);
  lookOut.stop();
  lookOut.announced();
  await pass(60_000);
  expect(looks).toHaveLength(1);
  expect(reported).toEqual([]);
});
