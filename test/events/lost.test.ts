/** A group whose connection is lost on the way: what its callers are told, on connections made of script. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { Row } from "../../src/connections/index.ts";
import { ConnectionError, DatabaseError } from "../../src/errors.ts";
import { backend, errorOf, fine, lost, one, scene } from "./script.ts";

/** Answers to BEGIN, to the lock, to what is written, and to the questions. */
const answers = (places: Row[], rows: Row[] = [], sent: Row[] = []) => [[], [], [{}], places, rows, sent];
const row = { stream: "a", ids: "{9}", versions: "{0}", prints: "{x}", created: 3 };
const found = answers([{ head: 0, place: "same" }], [row], [{ prints: "{x}", status: "committed" }]);

describe("a connection that is lost after the transaction's id was heard", () => {
  const none = [{ stream: "a", ids: null, versions: null, prints: null, created: null }];
  const absent = answers([{ head: -1, place: null }], none, [{ prints: "{x}", status: "aborted" }]);

  test("is made up for by what the log shows", async () => {
    const { queue, groups, settled } = scene({ send: (sent) => lost(sent, "77"), settle: () => found });
    expect(await queue.push(one("a"))).toEqual({
      outcome: { landed: true, head: -1, ids: [9] },
      created: new Date(3),
    });
    expect(groups).toEqual([["a"]]);
    expect(settled.map(({ given }) => given)).toEqual([undefined]);
    expect(settled[0]?.queries[0]?.text).toContain("pg_advisory_xact_lock");
    expect(settled[0]?.queries[3]?.params?.[1]).toBe("77");
  });

  test("is so too when only COMMIT went unanswered", async () => {
    const { queue, settled } = scene({
      send: (sent) => {
        fine(sent);
        lost(sent);
      },
      settle: () => found,
    });
    expect((await queue.push(one("a"))).outcome.ids).toEqual([9]);
    expect(settled[0]?.queries[3]?.params?.[1]).toBe("77");
  });

  test("is found behind the newest event of earlier groups, though not all of their commits landed", async () => {
    let calls = 0;
    const { queue, settled } = scene({
      send: (sent) => {
        if (calls++ > 0) lost(sent, "77");
        sent.answer(0, [{ xid: "76" }]);
        sent.answer(1, [{ heads: "{-1,5}", ids: "{30}", created: 5 }]);
      },
      settle: () => found,
    });
    const [landed, missed] = await Promise.all(["a", "b"].map((stream) => queue.push(one(stream))));
    expect([landed?.outcome.ids, missed?.outcome.landed]).toEqual([[30], false]);
    await queue.push(one("a"));
    expect(settled[0]?.queries[3]?.params?.[2]).toBe(30);
  });

  test("goes again if the log shows nothing, twice at most", async () => {
    let losses = 2;
    const { queue, groups } = scene({
      send: (sent) => (losses-- > 0 ? lost(sent, "77") : fine(sent)),
      settle: () => absent,
    });
    expect((await queue.push(one("a"))).outcome).toEqual({ landed: true, head: -1, ids: [1] });
    expect(groups.length).toBe(3);
    losses = 3;
    expect(await errorOf(queue.push(one("a")))).toMatchObject({ code: "CONNECTION_CLOSED", sent: false });
    expect(groups.length).toBe(6);
  });

  test("is decided commit by commit if it was committed and its rows are not there", async () => {
    const { queue, groups } = scene({
      send: (sent) => lost(sent, "77"),
      settle: () =>
        answers(
          [
            { head: 4, place: "other" },
            { head: 0, place: "same" },
            { head: 1, place: null },
          ],
          none,
          [{ prints: "{x,y,z}", status: "committed" }],
        ),
    });
    const [conflict, same, unguarded] = [one("a"), one("b"), one("c", { expected: null })].map((append) =>
      queue.push(append).then(
        ({ outcome }) => outcome,
        (error: ConnectionError) => error.code,
      ),
    );
    expect(await conflict).toEqual({ landed: false, head: 4, ids: [] });
    expect(await same).toBe("OUTCOME_UNKNOWN");
    expect(await unguarded).toBe("OUTCOME_UNKNOWN");
    expect(groups.length).toBe(1);
  });

  test("is asked for three times, and unknown then", async () => {
    const { queue, settled } = scene({
      send: (sent) => lost(sent, "77"),
      settle: () => {
        if (settled.length > 3) return found;
        throw new Error("nobody answers");
      },
    });
    const start = performance.now();
    expect(await errorOf(queue.push(one("a")))).toMatchObject({ code: "OUTCOME_UNKNOWN", sent: true });
    expect(settled.length).toBe(3);
    // 200 and 400 ms apart.
    expect(performance.now() - start).toBeGreaterThan(590);
  });
});

describe("a connection that is lost before the transaction's id was heard", () => {
  const fates = (...places: Row[]) => answers(places);

  test("is decided by the log where that is certain, asked for the connection's own backend", async () => {
    const { queue, groups, settled } = scene({
      send: (sent) => lost(sent),
      settle: () => fates({ head: 4, place: "other" }, { head: 0, place: "same" }),
    });
    const [a, b] = ["a", "b"].map((stream) => queue.push(one(stream)));
    const unknown = errorOf(b ?? Promise.resolve());
    expect(await a).toEqual({ outcome: { landed: false, head: 4, ids: [] }, created: new Date(0) });
    expect(await unknown).toMatchObject({
      code: "OUTCOME_UNKNOWN",
      sent: true,
      message:
        "the connection was lost while the commit was under way: it may or may not have landed; load the stream before trying again",
    });
    expect(settled.map(({ given }) => given)).toEqual([backend]);
    expect(settled[0]?.queries[0]?.text).toContain("pg_advisory_xact_lock");
    expect(groups.length).toBe(1);
  });

  test("goes again where the log shows it absent, twice at most, and says so then", async () => {
    let losses = 2;
    const { queue, groups } = scene({
      send: (sent) => (losses-- > 0 ? lost(sent) : fine(sent)),
      settle: () => fates({ head: -1, place: null }),
    });
    expect((await queue.push(one("a"))).outcome.landed).toBe(true);
    expect(groups.length).toBe(3);
    losses = 9;
    expect(await errorOf(queue.push(one("a")))).toMatchObject({
      code: "CONNECTION_CLOSED",
      sent: false,
      message: "the connection was lost again and again: the commit was not applied",
    });
    expect(groups.length).toBe(6);
  });

  test("is unknown if nobody can be asked, three times", async () => {
    const { queue, settled } = scene({ send: (sent) => lost(sent) });
    const all = ["a", "b"].map((stream) => errorOf(queue.push(one(stream))));
    for (const error of await Promise.all(all)) expect(error).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(settled.length).toBe(3);
  });

  test("and whose backend is not known is unknown without asking", async () => {
    const { queue, settled } = scene({
      send: (sent) => {
        Object.assign(sent.slot, { backend: undefined });
        lost(sent);
      },
      settle: () => fates({ head: -1, place: null }),
    });
    expect(await errorOf(queue.push(one("a")))).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(settled).toEqual([]);
  });

  test.each([
    ["a row", { xid: 77 }],
    ["a list of answers, the last with the id", [{}, [{ xid: 77 }]]],
    ["a list of rows", [[{ other: 1 }], { xid: 77 }]],
  ])("an id that comes as %s has been heard", async (_, answer) => {
    const { queue, settled } = scene({
      send: (sent) => {
        sent.answer(0, Array.isArray(answer) ? answer : [answer]);
        lost(sent);
      },
      settle: () => found,
    });
    expect((await queue.push(one("a"))).outcome.ids).toEqual([9]);
    expect(settled[0]?.given).toBeUndefined();
  });

  test.each([[[]], [[null]], [[{}]], [["77"]], [[[]]]])("an answer of %j holds no id", async (rows) => {
    const { queue, settled } = scene({
      send: (sent) => {
        sent.answer(0, rows);
        lost(sent);
      },
      settle: () => fates({ head: 0, place: "same" }),
    });
    expect(await errorOf(queue.push(one("a")))).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(settled.map(({ given }) => given)).toEqual([backend]);
  });

  const cancelled = new DatabaseError("57014", "cancelled");
  const refused = new ConnectionError("ECONNREFUSED", "refused", false);
  const once = ["OUTCOME_UNKNOWN", 1];
  const twice = [[4], 2];
  test.each([
    ["within statement_timeout", 6_000, 5_999, cancelled, twice],
    ["by then", 6_000, 6_000, cancelled, once],
    ["within 5 s where it is less", 100, 4_999, cancelled, twice],
    ["by then", 100, 5_000, cancelled, once],
    ["and has no statement_timeout", 0, 90_000, cancelled, twice],
    ["for it is not there yet", 100, 90_000, refused, twice],
  ])("a server that does not answer %s (%i ms, after %i)", async (_, statementTimeout, wait, error, told) => {
    // The clock goes on by that, without anybody waiting for it.
    const clock = vi.spyOn(performance, "now").mockReturnValue(1_000);
    onTestFinished(() => void vi.restoreAllMocks());
    const { queue, settled } = scene({
      statementTimeout,
      send: (sent) => lost(sent),
      settle: () => {
        if (settled.length > 1) return fates({ head: 4, place: "other" });
        clock.mockReturnValue(1_000 + wait);
        throw error;
      },
    });
    const outcome = await queue.push(one("a")).then(
      ({ outcome }) => [outcome.head],
      ({ code }: ConnectionError) => code,
    );
    expect([outcome, settled.length]).toEqual(told);
  });

  test("its events are looked for behind the last that this queue has appended", async () => {
    let calls = 0;
    const { queue, settled } = scene({
      send: (sent) => (calls++ === 0 ? fine(sent) : lost(sent, "77")),
      settle: () => found,
    });
    await Promise.all(["a", "b", "c"].map((stream) => queue.push(one(stream))));
    await queue.push(one("a"));
    expect(settled[0]?.queries[3]?.params).toEqual(['{"a"}', "77", 3]);
  });
});
