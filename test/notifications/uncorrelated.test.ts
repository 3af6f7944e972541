/** Which events a listener looks for and reports that no correlator of its app has read; on a scripted connection and clock. */
import { expect, test, vi } from "vitest";
import type { Context } from "../../src/context.ts";
import { correlatorsOf } from "../../src/correlators.ts";
import { LookOut, RecentClaims } from "../../src/notifications/look-out.ts";
import { Uncorrelated } from "../../src/notifications/uncorrelated.ts";
import type { Row } from "../../src/postgres/index.ts";
import { namesOf } from "../../src/schema/names.ts";
import { useFakeClock } from "./fixture.ts";

// Without jitter a poll comes one period after the last one, or 3.5 s after one that has left events to the next.
useFakeClock();

/** A log of events 1 to `newest`, each of a name of its own, and a checkpoint. */
function scripted({ period = 4_000, newest = 9, checkpoint = 9, known = [] as number[] } = {}) {
  const state = { newest, checkpoint, fails: false, position: newest };
  const polls: { at: number; upTo: number; keys: unknown; from: number }[] = [];
  const reported: number[][] = [];
  const start = performance.now();
  const read = async (_: string, query: { readonly params?: readonly unknown[] }): Promise<Row[]> => {
    const [, upTo, , keys, from] = query.params ?? [];
    polls.push({
      at: Math.round(performance.now() - start),
      upTo: Number(upTo),
      keys,
      from: Number(from),
    });
    if (state.fails) throw new Error("no answer");
    const facts: Row = { newest: String(state.newest), checkpoint: String(state.checkpoint), due_in: null };
    const low = Math.max(state.checkpoint, Number(from));
    const high = Math.min(state.newest, Number(upTo));
    const ids = Array.from({ length: Math.max(0, high - low) }, (_, n) => low + 1 + n);
    if (ids.length === 0) return [{ ...facts, lane: null, state: null, id: null, name: null, stream: null }];
    return ids.map((id) => ({
      ...facts,
      lane: null,
      state: String(state.checkpoint),
      id: String(id),
      name: `N${id}`,
      stream: "s",
    }));
  };
  const context = {
    names: namesOf("public", "events"),
    connections: { read },
    pollIntervalMillis: period,
  } as unknown as Context;
  const lookOut = new LookOut(context, {
    claims: new RecentClaims(),
    position: () => state.position,
    isKnown: ({ id }) => known.includes(id),
    report: (events) => reported.push(events.map(({ id }) => id)),
  });
  lookOut.start();
  const correlators = correlatorsOf(context);
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
  return { state, polls, reported, correlators, lookOut, pass };
}

const LEASE = { key: "k", by: "w", millis: 5_000 };

test("an event of which the last poll knew nothing may still be announced, and is left to the next poll", async () => {
  const { state, reported, pass } = scripted();
  state.newest = 12;
  await pass(4_000);
  expect(reported).toEqual([]);
  await pass(3_500);
  expect(reported).toEqual([[10, 11, 12]]);
});

test("events before the listener's start are reported by the first poll, unless the app knows them", async () => {
  const { reported, pass } = scripted({ checkpoint: 6, known: [8] });
  await pass(4_000);
  expect(reported).toEqual([[7, 9]]);
});

test("an event that the app knows is reported when the checkpoint does not move for a period", async () => {
  const { state, reported, pass } = scripted({ known: [10] });
  state.newest = 10;
  await pass(7_499);
  expect(reported).toEqual([]);
  await pass(1);
  expect(reported).toEqual([[10]]);
});

test("an event that the app knows is left to the app while its checkpoint moves, and is reported once it stands", async () => {
  const { state, reported, pass } = scripted({ known: [10, 11] });
  state.newest = 11;
  await pass(4_000);
  state.checkpoint = 10;
  await pass(3_500);
  expect(reported).toEqual([]);
  await pass(4_000);
  expect(reported).toEqual([[11]]);
});

test("what the app leaves alone is repeated after longer and longer pauses, and what is behind it is reported at once", async () => {
  const { state, reported, pass } = scripted({ checkpoint: 8 });
  await pass(60_001);
  // At 4, 8, 16 and 32 s, and from then on every 30 s or so.
  expect(reported).toEqual([[9], [9], [9], [9]]);
  state.newest = 10;
  await pass(7_500);
  expect(reported.slice(4)).toEqual([[9], [10]]);
});

test("an event that the app knows and leaves alone is not repeated for ever", async () => {
  const { state, reported, pass } = scripted({ known: [10] });
  state.newest = 10;
  await pass(600_000);
  expect(reported.filter((ids) => ids.length > 0)).toHaveLength(4);
});

test("after a refused lease it looks when the lease ends, for all that is not correlated", async () => {
  const { state, polls, reported, correlators, pass } = scripted({ known: [10] });
  await pass(4_000);
  state.newest = 10;
  correlators.noteRequest(LEASE, false);
  await pass(5_250);
  expect(polls.map(({ at }) => at)).toEqual([4_000, 8_000, 9_250]);
  expect(reported).toEqual([[10]]);
});

test("after a refused lease it looks without a period too", async () => {
  const { state, reported, correlators, pass } = scripted({ period: 0, known: [10] });
  state.newest = 10;
  correlators.noteRequest(LEASE, false);
  await pass(5_250);
  expect(reported).toEqual([[10]]);
});

test("many refusals are one reason to look", async () => {
  const { polls, correlators, pass } = scripted({ period: 0 });
  for (let n = 0; n < 100; n++) {
    correlators.noteRequest(LEASE, false);
    await pass(10);
  }
  await pass(60_000);
  expect(polls).toHaveLength(1);
});

test("after a verb has failed it looks for all that is not correlated, until the database answers", async () => {
  const { state, reported, correlators, pass } = scripted({ period: 0, known: [10] });
  state.newest = 10;
  state.fails = true;
  correlators.noteFailure();
  await pass(4_250);
  state.fails = false;
  expect(reported).toEqual([]);
  await pass(4_250);
  expect(reported).toEqual([[10]]);
});

test("it goes by the checkpoints of the app's own correlators, and by the shared one while it knows none", async () => {
  const { polls, correlators, pass } = scripted();
  await pass(4_000);
  correlators.noteRequest(LEASE, true);
  correlators.noteRequest({ ...LEASE, by: "second" }, true);
  correlators.noteRequest({ ...LEASE, key: "other" }, true);
  await pass(4_000);
  correlators.noteRequest({ ...LEASE, millis: 0 }, true);
  correlators.noteRequest({ ...LEASE, key: "other", millis: 0 }, true);
  await pass(4_000);
  correlators.noteRequest({ ...LEASE, by: "second", millis: 0 }, true);
  await pass(4_000);
  expect(polls.map(({ keys }) => keys)).toEqual(['{""}', '{"k","other"}', '{"k"}', '{""}']);
});

test("a process that builds an app for each request remembers the last ones only", async () => {
  const { polls, correlators, pass } = scripted();
  for (let n = 0; n < 1_000; n++) correlators.noteRequest({ ...LEASE, key: `k${n}` }, true);
  await pass(4_000);
  expect(String(polls[0]?.keys).split(",")).toHaveLength(100);
});

test("it leaves out the events before the app's first checkpoint, which the app never reads", async () => {
  const { reported, correlators, pass } = scripted({ checkpoint: 3 });
  correlators.noteStart("", 7);
  correlators.noteStart("", 8);
  await pass(4_000);
  expect(reported).toEqual([[8, 9]]);
});

test("a restored log, whose ids start again, is looked at from its beginning", async () => {
  const { state, polls, reported, pass } = scripted({ checkpoint: 8 });
  await pass(4_000);
  Object.assign(state, { newest: 2, checkpoint: -1, position: 2 });
  await pass(4_000);
  state.checkpoint = 0;
  await pass(4_000);
  expect(polls.at(-1)?.from).toBe(-1);
  expect(reported.at(-1)).toEqual([1, 2]);
});

test.each([0, 1, 2, 3, 4, 5, 6, 7])(
  "a known event is reported once, also if one before it is reported no more (%i polls later)",
  (later) => {
    const uncorrelated = new Uncorrelated(5_000, { position: () => -1, isKnown: () => true });
    let newest = 5;
    const poll = (): readonly number[] => {
      const { from, upTo } = uncorrelated.beginSearch(false, -1);
      const ids = [5, 6].filter((id) => id > from && id <= Math.min(upTo, newest));
      const events = ids.map((id) => ({ id, name: `N${id}`, stream: "s" }));
      const waiting = events.length > 0 ? [{ lane: undefined, state: "", events }] : [];
      const found = { waiting, dueIn: undefined, newest, checkpoint: 4, moreNames: undefined };
      const reported = uncorrelated.toReport(found).map(({ id }) => id);
      vi.advanceTimersByTime(5_000);
      return reported;
    };
    for (let n = 0; n < 24 + later; n++) poll();
    newest = 6;
    expect(Array.from({ length: 3 }, poll).flat()).toContain(6);
  },
);
