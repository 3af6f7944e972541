/** When a listener looks for work that nobody announced, and what it reports of it; on a scripted connection and clock. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Context } from "../../src/context.ts";
import { LookOut, RecentClaims } from "../../src/notifications/look-out.ts";
import type { Row } from "../../src/postgres/index.ts";
import { namesOf } from "../../src/schema/names.ts";

beforeEach(() => {
  vi.useFakeTimers();
  // No jitter: looks come after exactly one period, and 250 ms after an announcement.
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const NOTHING: Row = {
  newest: "9",
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

function scripted({ period = 4_000, told = [] as number[] } = {}) {
  const state = { rows: [NOTHING] as Row[], fails: false };
  /** When it looked, in ms since the start, and which lanes it left out. */
  const looks: [at: number, busy: unknown][] = [];
  const reported: number[][] = [];
  /** Up to which id it has searched for events that are not correlated. */
  const searched: unknown[] = [];
  const start = performance.now();
  const read = async (_: string, query: { readonly params?: readonly unknown[] }) => {
    looks.push([Math.round(performance.now() - start), query.params?.[0]]);
    searched.push(query.params?.[1]);
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
    isKnown: ({ id }) => told.includes(id),
    report: (events) => reported.push(events.map(({ id }) => id)),
  });
  lookOut.start();
  return {
    state,
    looks,
    searched,
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

test("it does not look while the app claims in all lanes, and leaves out a lane in which it claims", async () => {
  const { looks, claims, pass } = scripted();
  await pass(3_000);
  claims.note(undefined);
  await pass(1_500);
  expect(looks).toEqual([]);
  await pass(2_500);
  claims.note("mail");
  await pass(5_000);
  expect(looks).toEqual([
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

test("an announced look is left out if the app claims first", async () => {
  const { looks, claims, lookOut, pass } = scripted();
  lookOut.announced();
  await pass(200);
  claims.note(undefined);
  await pass(100);
  expect(looks).toEqual([]);
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

test("of events that no correlator has seen, those are left out that the app was told of", async () => {
  const { state, reported, pass } = scripted({ told: [7] });
  state.rows = [work("a", { lane: null }), work("a", { lane: null, id: "8" })];
  await pass(4_001);
  expect(reported).toEqual([[8]]);
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

test("an event that is not correlated after a whole period counts as not announced, and one of the last poll does not", async () => {
  const { state, pass, searched } = scripted();
  state.rows = [{ ...NOTHING, newest: "12" }];
  await pass(4_000);
  state.rows = [{ ...NOTHING, newest: "15" }];
  await pass(4_000);
  await pass(4_000);
  expect(searched).toEqual([9, 12, 15]);
});
