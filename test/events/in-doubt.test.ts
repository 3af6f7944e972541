/** A batch whose connection is lost after it was sent: what its commits are told, without a server. */
import { log } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ConnectionError, DatabaseError } from "../../src/errors.ts";
import { type Row, TransactionFailure } from "../../src/postgres/index.ts";
import { gate } from "../conformance/kit/eventually.ts";
import {
  backend,
  commit,
  errorOf,
  fixture,
  found,
  lose,
  notFound,
  type Options,
  paramsOf,
  recovered,
  recoveredAt,
  stored,
} from "./fixture.ts";

/** Loses the first transactions after they were sent; the others are stored. */
const losing = (times: number, more: Options = {}) => {
  let losses = times;
  return fixture({ send: (sent) => (losses-- > 0 ? lose() : stored(sent)), ...more });
};

/** Loses the first transaction. The log answers once `answered` is open: it holds none of its commits. */
function losingOne() {
  const answered = gate();
  const recover = async () => {
    await answered.passed;
    return recovered([notFound]);
  };
  return { ...losing(1, { recover }), answered };
}

const restored = { first_event: "1 999", by_commit: true };

/** Pauses pass when they are asked for, deadlines when the clock says so. */
function stopClock() {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"], now: 1_000 });
  onTestFinished(() => void vi.useRealTimers());
}

describe("each commit of a batch in doubt", () => {
  test("is told to the observer and, once for the connection, to the log, without its stream", async () => {
    const { queue, signals } = losing(1, {
      recover: () => recovered([found(4, 9), notFound, { ...notFound, truncated: true }]),
    });
    const told: unknown[] = [];
    signals.observer = {
      queued: () => undefined,
      batch: () => {},
      inDoubt: (outcomes) => void told.push(outcomes),
      listenerReconnected: () => {},
    };
    const error = vi.spyOn(log(), "error").mockImplementation(() => {});
    onTestFinished(() => error.mockRestore());
    await Promise.allSettled(
      ["secret-a", "secret-b", "secret-c"].map((stream) => queue.push(commit(stream))),
    );
    expect(told).toEqual([{ stored: 1, absent: 1, unknown: 1 }]);
    expect(error.mock.calls).toEqual([[expect.stringContaining("3 commits had been sent")]]);
    expect(String(error.mock.calls)).not.toContain("secret");
  });

  test("is told what the log shows: stored, unknown; what is absent goes again, alone", async () => {
    const { queue, batches } = losing(1, {
      recover: () =>
        recovered([
          found(4, 9, 10),
          notFound,
          { ...notFound, truncated: true },
          { ...found(1), ids: null },
          notFound,
        ]),
    });
    const two = commit("a", {
      expected: 4,
      events: [1, 2].map(() => ({ name: "A", data: "", pii: null, dates: "" })),
    });
    const [a, b, c, d, e] = [two, ...["b", "c", "d", "e"].map((stream) => commit(stream))].map((one) =>
      queue.push(one).then(
        ({ outcome, created }) => ({ ...outcome, created: Number(created) }),
        ({ code, message }: ConnectionError) => ({ code, message }),
      ),
    );
    const unknown = {
      code: "OUTCOME_UNKNOWN",
      message:
        "the connection was lost while the transaction was under way: it is not known whether the transaction was committed; load the stream before trying again",
    };
    expect(await a).toEqual({ accepted: true, head: 4, ids: [9, 10], created: 3 });
    expect(await b).toEqual({ accepted: true, head: -1, ids: [1], created: 5 });
    expect([await c, await d]).toEqual([unknown, unknown]);
    expect(await e).toMatchObject({ accepted: true });
    expect(batches).toEqual([["a", "b", "c", "d", "e"], ["b"], ["e"]]);
  });

  test("is unknown where it is absent, if the log may have been restored meanwhile", async () => {
    const outcomes = async (first: Row) => {
      let sent = 0;
      // Not the first transaction of this connection: that has to find out what the first event is.
      const { queue, batches } = fixture({
        send: (one) => (sent++ === 1 ? lose() : stored(one)),
        recover: () => recovered([notFound], first),
      });
      await queue.push(commit("before"));
      const code = await queue.push(commit("a")).then(
        () => "stored",
        (error: ConnectionError) => error.code,
      );
      return [code, batches.length];
    };
    expect(await outcomes({ first_event: "1 700" })).toEqual(["stored", 3]);
    expect(await outcomes(restored)).toEqual(["OUTCOME_UNKNOWN", 2]);
    expect(await outcomes({})).toEqual(["OUTCOME_UNKNOWN", 2]);
  });

  test("is looked for by its token, behind what was there before, once its server process has ended", async () => {
    let sent = 0;
    const { queue, recoveries } = fixture({
      facts: { ids_indexed: true, id_sequence: 7, last_id: 30 },
      send: (one) => (sent++ === 1 ? lose() : stored(one, 31)),
      recover: () => recovered([found(-1, 9)]),
    });
    await Promise.all(["a", "b", "c"].map((stream) => queue.push(commit(stream))));
    const last = commit("d");
    await queue.push(last);
    expect(recoveries.map(({ given }) => given)).toEqual([backend]);
    const [lock, , tokens] = recoveries[0]?.queries ?? [];
    expect(lock?.text).toContain("pg_advisory_xact_lock");
    expect(tokens && paramsOf(tokens)).toEqual(['{"d"}', `{"${last.token}"}`, "{1}", 33]);
  });

  test("goes again twice at most, and is told then that it was not applied", async () => {
    const twice = losing(2, { recover: () => recovered([notFound]) });
    expect((await twice.queue.push(commit("a"))).outcome).toEqual({ accepted: true, head: -1, ids: [1] });
    expect(twice.batches.length).toBe(3);
    const ever = losing(99, { recover: () => recovered([notFound]) });
    expect(await errorOf(ever.queue.push(commit("a")))).toMatchObject({
      code: "CONNECTION_CLOSED",
      sent: false,
      message: expect.stringMatching(/again and again: the commit was not applied; try again/),
    });
    expect(ever.batches.length).toBe(3);
  });

  test("goes again ahead of what was called later", async () => {
    const [answered, started, busy] = [gate(), gate(), gate()];
    const { queue, batches } = fixture({
      send: async (sent) => {
        if (batches.length === 1) lose();
        if (sent.streams.includes("c")) {
          started.open();
          await busy.passed;
        }
        return stored(sent);
      },
      recover: async () => {
        await answered.passed;
        return recovered([notFound, notFound]);
      },
    });
    const all = ["a", "b"].map((stream) => queue.push(commit(stream)));
    await new Promise(setImmediate);
    all.push(queue.push(commit("c")));
    await started.passed;
    all.push(queue.push(commit("d")));
    answered.open();
    await new Promise(setImmediate);
    busy.open();
    await Promise.all(all);
    expect(batches).toEqual([["a", "b"], ["c"], ["a"], ["b"], ["d"]]);
  });

  test("is unknown if a deadline has passed on a connection that says nothing, and nobody answers", async () => {
    stopClock();
    const { queue, recoveries } = fixture({
      deadline: 1_000,
      send: () => {
        vi.advanceTimersByTime(1_000);
        throw new TransactionFailure(new ConnectionError("DEADLINE", "no answer", true), { inDoubt: true });
      },
    });
    const told = errorOf(queue.push(commit("a")));
    await vi.runAllTimersAsync();
    expect(await told).toMatchObject({ code: "OUTCOME_UNKNOWN", sent: true });
    // It is looked for five seconds longer: at 0, 100, 300, 700, 1500, 2500, 3500, 4500 and 5500 ms.
    expect(recoveries.length).toBe(9);
  });
});

describe("the look for a batch in doubt", () => {
  test("goes on until the commit's deadline while the server starts again", async () => {
    stopClock();
    const start = performance.now();
    const { queue, recoveries } = losing(1, {
      deadline: 60_000,
      recover: () => {
        if (performance.now() < start + 50_000) throw new DatabaseError("57P03", "starting up");
        return recovered([found(-1, 9)]);
      },
    });
    const told = queue.push(commit("a"));
    await vi.advanceTimersByTimeAsync(49_900);
    const asked = recoveries.length;
    expect(asked).toBeGreaterThan(40);
    await vi.advanceTimersByTimeAsync(2_000);
    expect((await told).outcome.ids).toEqual([9]);
  });

  test("ends at the commit's deadline, and five seconds after the loss at the earliest", async () => {
    stopClock();
    const { queue } = losing(1, { deadline: 60_000 });
    let ended = 0;
    const start = performance.now();
    const told = errorOf(queue.push(commit("a"))).finally(() => {
      ended = performance.now();
    });
    await vi.advanceTimersByTimeAsync(59_000);
    expect(ended).toBe(0);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await told).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(ended - start).toBeGreaterThanOrEqual(60_000);
  });

  test("does not delay later batches", async () => {
    const { queue, batches, answered } = losingOne();
    const told: string[] = [];
    const lost = queue.push(commit("lost")).then(() => told.push("lost"));
    await new Promise(setImmediate);
    await queue.push(commit("later")).then(() => told.push("later"));
    expect(batches).toEqual([["lost"], ["later"]]);
    answered.open();
    await lost;
    expect(told).toEqual(["later", "lost"]);
    expect(batches).toEqual([["lost"], ["later"], ["lost"]]);
  });

  test("is waited for by close(), with what goes again", async () => {
    const { queue, batches, answered } = losingOne();
    const told: string[] = [];
    const lost = queue.push(commit("lost")).then(() => told.push("stored"));
    await new Promise(setImmediate);
    const closed = queue.close().then(() => told.push("closed"));
    await new Promise(setImmediate);
    expect(told).toEqual([]);
    answered.open();
    await Promise.all([lost, closed]);
    expect(told).toEqual(["stored", "closed"]);
    expect(batches).toEqual([["lost"], ["lost"]]);
  });

  test("takes no longer than five seconds once the store is disposed of", async () => {
    stopClock();
    const { queue } = losing(1, { deadline: 60_000 });
    const told = errorOf(queue.push(commit("a")));
    await vi.advanceTimersByTimeAsync(1);
    queue.limitRecovery();
    const closed = queue.close();
    await vi.advanceTimersByTimeAsync(6_500);
    expect(await told).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    await closed;
  });

  test("finds out too late to send it again: it was not applied", async () => {
    stopClock();
    const { queue, batches } = losing(1, {
      deadline: 1_000,
      recover: () => {
        vi.advanceTimersByTime(1_001);
        return recovered([notFound]);
      },
    });
    expect(await errorOf(queue.push(commit("a")))).toMatchObject({
      code: "DEADLINE",
      sent: false,
      message: expect.stringMatching(
        /^the commit could not be completed within 1000 ms and was not applied: /,
      ),
    });
    expect(batches.length).toBe(1);
  });
});

describe("behind a pooler, where no server process can be ended, a batch in doubt", () => {
  test("is not carried out after three seconds: it is looked for until then, and goes again", async () => {
    stopClock();
    // Sent at 1,000, to begin by 4,000; the clock may be set back by a second.
    const clocks = [4_001, 5_000, 5_001];
    const { queue, recoveries, batches } = losing(1, {
      prepare: false,
      recover: () => recoveredAt(clocks.shift() ?? 0, [notFound]),
    });
    const told = queue.push(commit("a"));
    await vi.runAllTimersAsync();
    expect((await told).outcome.accepted).toBe(true);
    expect(recoveries.map(({ given }) => given)).toEqual([undefined, undefined, undefined]);
    expect(batches.length).toBe(2);
  });

  test("is unknown if it may still arrive when the time for looking is over", async () => {
    stopClock();
    const { queue, batches } = losing(1, {
      prepare: false,
      deadline: 1_000,
      recover: () => recoveredAt(0, [notFound]),
    });
    const told = errorOf(queue.push(commit("a")));
    await vi.runAllTimersAsync();
    expect(await told).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(batches.length).toBe(1);
  });

  test("says with its lock until when it may be carried out", async () => {
    const { queue, sent, state } = fixture({ prepare: false });
    state.clock = 50_000;
    const one = commit("a");
    await queue.push(one);
    const [lock] = sent[0]?.queries ?? [];
    expect(lock && paramsOf(lock)).toEqual([53_000, one.token]);
    expect(lock?.text).toMatch(/clock_timestamp\(\)\) \* 1000 < \$1.*too_late/s);
  });
});
