/** Group commit by itself: what goes out together, and what each commit is told, without a server. */
import { describe, expect, test } from "vitest";
import { ConnectionError, DatabaseError } from "../../src/errors.ts";
import { MAX_WAITING, MAX_WAITING_TEXT } from "../../src/events/queue.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { commit, end, errorOf, fixture, refuse, refuseAsLate, stored } from "./fixture.ts";

/** What is settled by now, without waiting for it. */
const now = <T>(promise: Promise<T>) =>
  Promise.race([promise, new Promise<string>((resolve) => setImmediate(resolve, "still waiting"))]);

describe("a batch", () => {
  test("is what was called in one turn, then what waited meanwhile, in the order of the calls", async () => {
    const busy = gate();
    const first = gate();
    const { queue, batches } = fixture({
      send: async (sent) => {
        first.open();
        await busy.passed;
        return stored(sent);
      },
    });
    const early = ["a", "b"].map((stream) => queue.push(commit(stream)));
    await first.passed;
    const late = ["c", "d", "e"].map((stream) => queue.push(commit(stream)));
    busy.open();
    const all = await Promise.all([...early, ...late]);
    expect(batches).toEqual([
      ["a", "b"],
      ["c", "d", "e"],
    ]);
    expect(all.map(({ outcome }) => outcome.ids)).toEqual([[1], [2], [1], [2], [3]]);
    expect(all[0]).toEqual({ outcome: { accepted: true, head: -1, ids: [1] }, created: new Date(5) });
    await queue.close();
  });

  test.each([
    ["data", (size: number) => ({ size })],
    ["pii", (size: number) => ({ size: 0, pii: "p".repeat(size) })],
    ["meta", (size: number) => ({ size: 0, meta: "m".repeat(size) })],
  ])("is 4,000,000 characters of %s at most, or one commit", async (_, of) => {
    const { queue, batches } = fixture();
    const sizes = [2_000_000, 2_000_000, 1, 5_000_000, 5_000_000, 3_999_999, 1, 1];
    await Promise.all(sizes.map((size, i) => queue.push(commit(`s${i}`, of(size)))));
    expect(batches).toEqual([["s0", "s1"], ["s2"], ["s3"], ["s4"], ["s5", "s6"], ["s7"]]);
  });

  test("is smaller once a transfer has shown that the network is slow", async () => {
    const { queue, batches } = fixture({
      send: (sent) => {
        // 300 KB/s.
        sent.transferred?.(600_000, 2_000);
        return stored(sent);
      },
    });
    await queue.push(commit("first"));
    await Promise.all(["a", "b", "c"].map((stream) => queue.push(commit(stream, { size: 100_000 }))));
    expect(batches).toEqual([["first"], ["a"], ["b"], ["c"]]);
  });

  test("that cannot be read is unknown to all, and none goes again", async () => {
    const { queue, batches } = fixture({
      send: ({ queries }) => queries.map(() => ({ rows: [], tag: "" })),
    });
    const all = ["a", "b"].map((stream) => errorOf(queue.push(commit(stream))));
    const message = expect.stringMatching(/^the server's answer could not be read: it is not known whether /);
    for (const error of await Promise.all(all))
      expect(error).toMatchObject({ code: "OUTCOME_UNKNOWN", message });
    expect(batches).toEqual([["a", "b"]]);
  });
});

describe("the queue refuses", () => {
  test("what comes after the store was disposed, and lets the rest finish", async () => {
    const { queue, batches } = fixture();
    const before = queue.push(commit("a"));
    const closing = queue.close();
    expect(await errorOf(queue.push(commit("b")))).toMatchObject({
      code: "STORE_CLOSED",
      sent: false,
      message: "the store is disposed: create a new PostgresStore",
    });
    await closing;
    expect(batches).toEqual([["a"]]);
    expect((await before).outcome.accepted).toBe(true);
  });

  test("more than 100,000 commits that wait, at once, and takes more when there is room again", async () => {
    const busy = gate();
    const { queue } = fixture({ send: async (sent) => busy.passed.then(() => stored(sent)) });
    const waiting = Array.from({ length: MAX_WAITING }, () => queue.push(commit("a", { expected: null })));
    expect(await now(errorOf(queue.push(commit("b"))))).toMatchObject({
      code: "QUEUE_FULL",
      sent: false,
      message: expect.stringMatching(/^100000 commits of \d+ characters are waiting already: slow down/),
    });
    busy.open();
    expect((await Promise.all(waiting)).every(({ outcome }) => outcome.accepted)).toBe(true);
    expect((await queue.push(commit("c"))).outcome.accepted).toBe(true);
  });

  test("more than 256,000,000 characters that wait, and takes more when there is room again", async () => {
    const busy = gate();
    const { queue } = fixture({ send: async (sent) => busy.passed.then(() => stored(sent)) });
    // One text, many times: only its length counts.
    const size = 4_000_000;
    const waiting = Array.from({ length: MAX_WAITING_TEXT / size }, () => queue.push(commit("a", { size })));
    expect(await now(errorOf(queue.push(commit("b"))))).toMatchObject({
      code: "QUEUE_FULL",
      sent: false,
      message: expect.stringMatching(/^64 commits of 256000000 characters are waiting already: slow down/),
    });
    busy.open();
    await Promise.all(waiting);
    expect((await queue.push(commit("c"))).outcome.accepted).toBe(true);
  });
});

describe("what the server refuses", () => {
  // 22008 has the digits of a class that would be nobody's fault, but not in front.
  test.each([
    ["of the rows", "22P02", "execute", 1],
    ["of the rows", "22008", "execute", 1],
    ["of a value that is no JSON", "22P02", "bind", 1],
    ["of a slow trigger", "57014", "execute", 1],
    ["of a trigger that takes locks", "55P03", "execute", 1],
    ["of a trigger that calls what is not there", "42883", "execute", 1],
    ["of a deferred constraint", "23503", "commit", 2],
  ] as const)("%s (%s, %s) fails its commit only: each goes again by itself", async (_, code, step, at) => {
    const { queue, batches } = fixture({
      send: (sent) => (sent.streams.includes("bad") ? refuse(code, step, at) : stored(sent)),
    });
    const [a, bad, b] = ["a", "bad", "b"].map((stream) => queue.push(commit(stream)));
    expect(await errorOf(bad ?? Promise.resolve())).toMatchObject({ code });
    expect((await a)?.outcome.accepted && (await b)?.outcome.accepted).toBe(true);
    expect(batches).toEqual([["a", "bad", "b"], ["a"], ["bad"], ["b"]]);
  });

  test.each([
    ["while it waits for the append lock", "57014", "execute", 0],
    ["as it asks for the append lock", "55P03", "execute", 0],
    ["because a table is missing", "42P01", "parse", 1],
    ["because it is read-only", "25006", "parse", 1],
  ] as const)("%s (%s) is nobody's fault: all are told, none goes again", async (_, code, step, at) => {
    const { queue, batches } = fixture({ send: () => refuse(code, step, at) });
    const all = ["a", "b"].map((stream) => errorOf(queue.push(commit(stream))));
    for (const error of await Promise.all(all)) expect(error).toMatchObject({ code });
    expect(batches).toEqual([["a", "b"]]);
  });

  test("commits that go again by themselves make room for no other", async () => {
    const later = gate();
    const { queue, batches } = fixture({
      send: (sent) => {
        later.open();
        return sent.streams.length > 1 ? refuse("22P02") : stored(sent);
      },
    });
    const all = ["a", "b"].map((stream) => queue.push(commit(stream)));
    await later.passed;
    all.push(queue.push(commit("c")));
    await Promise.all(all);
    expect(batches).toEqual([["a", "b"], ["a"], ["b"], ["c"]]);
  });

  test.each(["40001", "40P01"])("for the sake of others (%s) is sent twice more, together", async (code) => {
    let fails = 2;
    const { queue, batches } = fixture({ send: (sent) => (fails-- > 0 ? refuse(code) : stored(sent)) });
    const all = ["a", "b"].map((stream) => queue.push(commit(stream)));
    for (const { outcome } of await Promise.all(all)) expect(outcome.accepted).toBe(true);
    expect(batches).toEqual([
      ["a", "b"],
      ["a", "b"],
      ["a", "b"],
    ]);
    fails = 3;
    expect(await errorOf(queue.push(commit("a")))).toMatchObject({ code });
    expect(batches.length).toBe(6);
  });

  test("because it came too late behind a pooler is sent again, together", async () => {
    let fails = 1;
    const { queue, batches } = fixture({ send: (sent) => (fails-- > 0 ? refuseAsLate() : stored(sent)) });
    const all = ["a", "b"].map((stream) => queue.push(commit(stream)));
    for (const { outcome } of await Promise.all(all)) expect(outcome.accepted).toBe(true);
    expect(batches).toEqual([
      ["a", "b"],
      ["a", "b"],
    ]);
    fails = 3;
    expect(await errorOf(queue.push(commit("a")))).toMatchObject({ code: "TOO_LATE" });
  });
});

describe("a connection", () => {
  test("that the server ends with a reason is nobody's fault: all are told, none goes again", async () => {
    const { queue, batches } = fixture({ send: () => end("57P02") });
    const all = ["a", "b"].map((stream) => errorOf(queue.push(commit(stream))));
    for (const error of await Promise.all(all)) expect(error).toMatchObject({ code: "57P02" });
    expect(batches).toEqual([["a", "b"]]);
  });

  test("that is refused is nobody's fault: all are told, none goes again", async () => {
    const { queue, batches } = fixture({
      open: () => {
        throw new ConnectionError("ECONNREFUSED", "refused", false);
      },
    });
    const all = ["a", "b"].map((stream) => errorOf(queue.push(commit(stream))));
    for (const error of await Promise.all(all)) expect(error).toMatchObject({ code: "ECONNREFUSED" });
    expect(batches).toEqual([]);
  });

  test.each([
    ["CONNECTION_CLOSED", new ConnectionError("CONNECTION_CLOSED", "gone", false)],
    ["57P01", new DatabaseError("57P01", "gone")],
  ])("that ends (%s) before anything was sent is replaced twice", async (_, gone) => {
    let fails = 2;
    let opened = 0;
    const { queue } = fixture({
      open: () => {
        opened++;
        if (fails-- > 0) throw gone;
      },
    });
    expect((await queue.push(commit("a"))).outcome.accepted).toBe(true);
    expect(opened).toBe(3);
    fails = 3;
    expect(await errorOf(queue.push(commit("a")))).toMatchObject({
      code: "CONNECTION_CLOSED",
      sent: false,
      message: expect.stringMatching(
        /^the connection was lost again and again: the commit was not applied; try again/,
      ),
    });
    expect(opened).toBe(6);
  });

  test("that ends while parameters are on their way (57P01) sends each commit by itself", async () => {
    let losses = 1;
    const { queue, batches } = fixture({
      send: (sent) => (losses-- > 0 ? end("57P01") : stored(sent)),
    });
    const all = ["a", "b"].map((stream) => queue.push(commit(stream)));
    for (const { outcome } of await Promise.all(all)) expect(outcome.accepted).toBe(true);
    expect(batches).toEqual([["a", "b"], ["a"], ["b"]]);
  });
});
