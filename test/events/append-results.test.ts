/** An append without a server: what is sent, and what is read from the answer. */
import { describe, expect, test } from "vitest";
import { type Append, insertQuery, insertTexts, readAppended } from "../../src/events/append.ts";
import { lockAppends, lockAppendsUntil } from "../../src/schema/append-lock.ts";
import { namesOf } from "../../src/schema/names.ts";
import { commit, paramsOf } from "./fixture.ts";

const names = namesOf("public", "events");
const entry = { name: "A", data: "{}", pii: null, dates: "{}" };

/** A commit of so many events. */
const append = (stream: string, expected: number | null, count = 1): Append =>
  commit(stream, { expected, meta: "{}", events: Array.from({ length: count }, () => entry) });

describe("the answer to an append", () => {
  test("gives each commit that was accepted its ids, in order, and the others the head that they met", () => {
    const batch = [append("a", null, 2), append("b", 3), append("c", -1), append("d", 0, 3)];
    const row = { heads: "{4,3,7,0}", accepted: "{t,t,f,t}", ids: "{10,11,12,15,16,17}", created: 5 };
    expect(readAppended(batch, row)).toEqual({
      created: new Date(5),
      outcomes: [
        { accepted: true, head: 4, ids: [10, 11] },
        { accepted: true, head: 3, ids: [12] },
        { accepted: false, head: 7, ids: [] },
        { accepted: true, head: 0, ids: [15, 16, 17] },
      ],
    });
  });

  test("says itself what was accepted: no second rule here could decide otherwise", () => {
    const row = { heads: "{7}", accepted: "{f}", ids: null, created: 0 };
    expect(readAppended([append("a", null)], row).outcomes).toEqual([{ accepted: false, head: 7, ids: [] }]);
    const taken = { heads: "{7}", accepted: "{t}", ids: "{1}", created: 0 };
    expect(readAppended([append("a", 3)], taken).outcomes).toEqual([{ accepted: true, head: 7, ids: [1] }]);
  });

  test.each([
    ["too few ids", "{1}"],
    ["too many ids", "{1,2,3}"],
    ["no ids", null],
  ])("with %s is an error, not a guess", (_, ids) => {
    const row = { heads: "{-1}", accepted: "{t}", ids, created: 0 };
    expect(() => readAppended([append("a", null, 2)], row)).toThrow(
      "the database's answer to an append does not match what was sent",
    );
  });

  test("with the last commit's ids missing is an error as well, whatever the others have", () => {
    const batch = [append("a", null), append("b", 3), append("c", null)];
    const row = { heads: "{-1,4,-1}", accepted: "{t,f,t}", ids: "{1}", created: 0 };
    expect(() => readAppended(batch, row)).toThrow("does not match");
  });

  test("that is missing is no conflict at a head that nobody has seen", () => {
    for (const row of [undefined, { heads: null, accepted: null, ids: null, created: 0 }])
      for (const expected of [null, -1, 5])
        expect(() => readAppended([append("a", expected)], row)).toThrow("does not match");
  });
});

describe("the append statement", () => {
  const textsOf = (over: object = {}) =>
    insertTexts(names, { announce: false, headBy: "id", sequence: 7, deferred: false, ...over }, "me");
  const texts = textsOf();
  const queryOf = (...batch: Append[]) => insertQuery(texts, batch, 7);

  test("is the same for whatever is appended to distinct streams, so that it is prepared once", () => {
    const queries = [
      queryOf(append("a", null)),
      queryOf(append("a", 3, 5), append("b", null)),
      queryOf(append("b", -1), append("A", null), append("a", 0)),
    ];
    expect(new Set(queries.map(({ text }) => text))).toEqual(new Set([texts.distinct]));
    expect(queries.map((query) => paramsOf(query).length)).toEqual([13, 13, 13]);
  });

  test("decides commits one after the other only if a stream occurs more than once", () => {
    const query = queryOf(append("a", null), append("b", null), append("a", 0));
    expect(query.text).toBe(texts.repeated);
    expect(texts.repeated).toMatch(/^with recursive /);
    expect(texts.distinct).not.toMatch(/recursive|union/);
  });

  test("has further texts only where heads are found otherwise, or commits are announced", () => {
    expect(textsOf({ sequence: null })).toEqual(texts);
    for (const kind of ["distinct", "repeated"] as const) {
      expect(textsOf({ headBy: "version" })[kind]).not.toBe(texts[kind]);
      expect(textsOf({ announce: true })[kind]).toContain("pg_notify('act_commit_public_events'");
      expect(texts[kind]).not.toContain("pg_notify");
    }
  });

  test("counts the commits to each stream from 1, and gives each event its commit and its number", () => {
    const batch = [append("a", null), append("b", 1, 2), append("a", 2)];
    const params = paramsOf(queryOf(...batch));
    expect(params.slice(0, 3)).toEqual(['{"a","b","a"}', "any,1,2", "{1,2,1}"]);
    expect(params[4]).toBe(`{${batch.map(({ token }) => token).join(",")}}`);
    expect(params[5]).toBe(7);
    expect(params.slice(6, 9)).toEqual(["{1,2,2,3}", "{1,1,2,1}", '{"A","A","A","A"}']);
    expect(params[13]).toBe("{1,1,2}");
  });

  test("has its parameters on the server before the lock is asked for; the lock has none to wait for", () => {
    expect(queryOf(append("a", null)).bindFirst).toBe(true);
    const { text, params } = lockAppends(names, 0);
    expect(text).toBe(`select pg_advisory_xact_lock(hashtext('"public"."events"'))`);
    expect(params).toBeUndefined();
  });

  test("waits for a lock that ends its transaction after a while, where the server can do that", () => {
    expect(lockAppends(names, 65_000).text).toMatch(
      /^select pg_advisory_xact_lock\(.*>= 170000\s+then set_config\('transaction_timeout', '65000', true\)/s,
    );
    expect(lockAppendsUntil(names, 65_000, "t", () => 0).text).toContain(
      "'transaction_timeout', '65000', true",
    );
    expect(lockAppendsUntil(names, 0, "t", () => 0).text).not.toContain("transaction_timeout");
  });

  test("behind a pooler waits for the same lock, which says at the last moment until when", () => {
    let clock = 0;
    const lock = lockAppendsUntil(names, 0, "token", () => clock);
    expect(lock.text).toContain(`hashtext('"public"."events"')`);
    clock = 5;
    expect(paramsOf(lock)).toEqual([5, "token"]);
    clock = 6;
    expect(paramsOf(lock)).toEqual([6, "token"]);
    expect(lock.bindFirst).toBeUndefined();
  });
});
