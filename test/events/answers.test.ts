/** What is read from the database's answers, without one: outcomes of appends, lost groups, payloads, rows. */
import { describe, expect, test } from "vitest";
import { PiiCipher } from "../../src/codec/encryption.ts";
import { type Append, appendStatements, NEVER, readOutcomes } from "../../src/events/append.ts";
import { encodeEvents } from "../../src/events/encode.ts";
import { parsePayload } from "../../src/events/notify.ts";
import { fateQuery, readFates, readRecovered, recoverQuery } from "../../src/events/recover.ts";
import { eventColumns, eventReader, safeId } from "../../src/events/row.ts";
import { namesOf } from "../../src/names.ts";

const names = namesOf("public", "events");
const entry = { name: "A", data: "{}", pii: null, dates: "{}" };

/** A commit of so many events. */
const append = (stream: string, expected: number | null, count = 1): Append => ({
  stream,
  expected,
  meta: "{}",
  events: Array.from({ length: count }, () => entry),
});

describe("the answer to an append", () => {
  test("gives each commit its ids, in order, and tells the losers the head they met", () => {
    const group = [append("a", null, 2), append("b", 3), append("c", -1), append("d", 0, 3)];
    const row = { heads: "{4,3,7,0}", ids: "{10,11,12,15,16,17}", created: 5 };
    expect(readOutcomes(group, row)).toEqual({
      created: new Date(5),
      outcomes: [
        { landed: true, head: 4, ids: [10, 11] },
        { landed: true, head: 3, ids: [12] },
        { landed: false, head: 7, ids: [] },
        { landed: true, head: 0, ids: [15, 16, 17] },
      ],
    });
  });

  test("moves the head of a stream on with each of its commits that lands", () => {
    const group = [append("a", -1, 2), append("a", 1), append("a", 1), append("a", null)];
    const row = { heads: "{-1,-1,-1,-1}", ids: "{1,2,3,4}", created: 0 };
    expect(readOutcomes(group, row).outcomes).toEqual([
      { landed: true, head: -1, ids: [1, 2] },
      { landed: true, head: 1, ids: [3] },
      { landed: false, head: 2, ids: [] },
      { landed: true, head: 2, ids: [4] },
    ]);
  });

  test.each([
    ["too few ids", "{1}"],
    ["too many ids", "{1,2,3}"],
    ["no ids", null],
  ])("with %s is an error, not a guess", (_, ids) => {
    const group = [append("a", null, 2)];
    expect(() => readOutcomes(group, { heads: "{-1}", ids, created: 0 })).toThrow(
      "the database's answer to an append does not match what was sent",
    );
  });

  test("that is missing is an error as well, unless nothing was to be written", () => {
    expect(() => readOutcomes([append("a", null)], undefined)).toThrow("does not match");
    expect(readOutcomes([append("a", 5)], { heads: "{3}", ids: null, created: 0 }).outcomes).toEqual([
      { landed: false, head: 3, ids: [] },
    ]);
  });
});

describe("the statements of an append", () => {
  const { insert, warm, open, commit } = appendStatements(names, undefined);
  const texts = [
    insert([append("a", null)]),
    insert([append("a", null), append("b", null)]),
    insert([append("a", null), append("b", null), append("a", null)]),
  ].map(({ text }) => text);

  test("are three: one commit, several streams, and streams that come again", () => {
    expect(new Set(texts).size).toBe(3);
    expect(insert([append("x", 3, 5)]).text).toBe(texts[0]);
    expect(insert([append("x", 3), append("y", 3), append("z", 3)]).text).toBe(texts[1]);
    expect(insert([append("x", 3), append("x", 3)]).text).toBe(texts[2]);
  });

  test("are prepared by insertions of nothing", () => {
    expect(warm.map(({ text }) => text)).toEqual(texts);
    expect(warm[0]?.params).toEqual(["", NEVER, 0, "{}", "{}", "", "", ""]);
    for (const { params } of warm.slice(1)) expect(params?.every((p) => p === "{}" || p === "")).toBe(true);
  });

  test("tell the transaction's id with the lock, and end it", () => {
    expect(open.text).toMatch(
      /^begin isolation level read committed; select pg_advisory_xact_lock\(.* as xid$/,
    );
    expect(commit.text).toBe("commit");
  });

  test("count the turns of a stream from 1", () => {
    const { params } = insert([append("a", null), append("b", 1, 2), append("a", 2)]);
    expect(params?.slice(0, 4)).toEqual(['{"a","b","a"}', "{NULL,1,2}", "{1,2,1}", "{1,1,2}"]);
    expect(params?.slice(5, 8)).toEqual(["{1,2,2,3}", "{1,1,2,1}", '{"A","A","A","A"}']);
  });
});

describe("a group whose connection was lost", () => {
  test("was not committed if its transaction left no row", () => {
    const rows = [{ stream: "a", head: 3, ids: null, first: null, created: null }];
    expect(readRecovered([append("a", 3)], rows, ["x"])).toBeUndefined();
    expect(readRecovered([append("a", 3)], [], ["x"])).toBeUndefined();
  });

  test("was committed as its rows say", () => {
    const group = [append("a", -1, 2), append("b", 5), append("a", 1), append("c", null)];
    const rows = [
      { stream: "a", head: 9, ids: "{1,2,3}", prints: "{x,y,z}", first: 0, created: 10 },
      { stream: "b", head: 7, ids: null, first: null, created: null },
      { stream: "c", head: 4, ids: "{4}", prints: "{w}", first: 4, created: 12 },
    ];
    expect(readRecovered(group, rows, ["x", "y", "lost", "z", "w"])).toEqual({
      created: new Date(12),
      outcomes: [
        { landed: true, head: -1, ids: [1, 2] },
        { landed: false, head: 7, ids: [] },
        { landed: true, head: 1, ids: [3] },
        { landed: true, head: 3, ids: [4] },
      ],
    });
  });

  test("told the losers on a stream that it wrote to where the head was", () => {
    const group = [append("a", 0), append("a", null), append("a", 1, 2), append("z", 0)];
    const rows = [{ stream: "a", head: 9, ids: "{5}", prints: "{x}", first: 3, created: 1 }];
    expect(readRecovered(group, rows, ["lost", "x", "lost", "lost", "lost"])?.outcomes).toEqual([
      { landed: false, head: 2, ids: [] },
      { landed: true, head: 2, ids: [5] },
      { landed: false, head: 3, ids: [] },
      { landed: false, head: -1, ids: [] },
    ]);
  });

  test("did not land where others have since come to the version that a loser expected", () => {
    const group = [append("a", -1), append("b", 5)];
    const rows = [
      { stream: "a", head: 0, ids: "{1}", prints: "{x}", first: 0, created: 1 },
      { stream: "b", head: 5, ids: null, first: null, created: null },
    ];
    expect(readRecovered(group, rows, ["x", "lost"])?.outcomes[1]).toEqual({
      landed: false,
      head: 5,
      ids: [],
    });
  });

  test("left none of its rows if one of those found is another's, or one too many", () => {
    const rows = [
      { stream: "a", head: 1, ids: "{1,2}", prints: "{x,y}", first: 0, created: 1 },
      { stream: "b", head: 0, ids: "{3}", prints: "{z}", first: 0, created: 1 },
    ];
    const group = [append("a", null, 2), append("b", null)];
    expect(readRecovered(group, rows, ["x", "y", "z"])).toBeDefined();
    for (const prints of [["-", "y", "z"], ["x", "-", "z"], ["x", "y", "-"], ["y", "x", "z"], []])
      expect(readRecovered(group, rows, prints)).toBeUndefined();
    expect(readRecovered([append("a", null), append("b", null)], rows, ["x", "z"])).toBeUndefined();
    expect(readRecovered([append("a", null, 2)], rows, ["x", "y"])).toBeUndefined();
  });

  test("is asked for by the names of its streams, each once, and the transaction's id", () => {
    const group = [append("a", 0), append("b", 0), append("a", 0)];
    expect(recoverQuery(names, group, "77").params).toEqual(['{"a","b"}', "77"]);
  });

  test("of which not even the id is known is asked for by what it would have written first", () => {
    const one: Append = {
      stream: "a",
      expected: 1,
      meta: '{"m":1}',
      events: [{ ...entry, data: '{"d":1}' }],
    };
    const none: Append = { stream: "b", expected: null, meta: "{}", events: [] };
    expect(fateQuery(names, [one, none]).params).toEqual([
      '{"a","b"}',
      "{1,NULL}",
      '{"A",""}',
      '{"d":1}\u001enull',
      '{"m":1}\u001e{}',
    ]);
  });

  test("is absent below its place, decided by another's event there, and unknown otherwise", () => {
    const group = [append("a", 2), append("a", 2), append("a", 2), append("a", null), append("a", 2)];
    const rows = [
      { head: 2, same: false },
      { head: 3, same: true },
      { head: 3, same: false },
      { head: 9, same: false },
    ];
    expect(readFates(group, rows)).toEqual(["absent", "unknown", { head: 3 }, "unknown", "unknown"]);
    expect(readFates([append("a", 2)], [{ head: 1, same: false }])).toEqual(["absent"]);
  });
});

describe("a payload", () => {
  const whole = { stream: "s", by: "b", events: [{ id: 1, name: "A" }] };

  test("of either form is read", () => {
    expect(parsePayload(JSON.stringify(whole))).toEqual({ ...whole, from: undefined, to: undefined });
    const brief = { stream: "s", events: [], from: 1, to: 3 };
    expect(parsePayload(JSON.stringify(brief))).toEqual({ ...brief, by: undefined });
    const loose = { stream: "s", by: 5, events: [{ id: 1, name: "A", more: 1 }], from: "1", to: null };
    expect(parsePayload(JSON.stringify(loose))).toEqual({
      ...whole,
      by: undefined,
      from: undefined,
      to: undefined,
    });
  });

  test.each([
    "",
    "no JSON",
    "null",
    "5",
    '"text"',
    "[]",
    "{}",
    '{"events":[]}',
    '{"stream":5,"events":[]}',
    '{"stream":"s"}',
    '{"stream":"s","events":{}}',
    '{"stream":"s","events":[null]}',
    '{"stream":"s","events":[5]}',
    '{"stream":"s","events":[{"id":"1","name":"A"}]}',
    '{"stream":"s","events":[{"id":1,"name":2}]}',
    '{"stream":"s","events":[{"id":1,"name":"A"},{}]}',
  ])("such as %s is none", (text) => {
    expect(parsePayload(text)).toBeUndefined();
  });
});

describe("a row", () => {
  const row = {
    id: "7",
    stream: "s",
    version: 3,
    created: 5,
    name: "A",
    data: { at: "x" },
    meta: {},
    dates: {},
  };
  const iso = "1970-01-02T00:00:00.000Z";
  const date = new Date(iso);
  const key = new Uint8Array(32).fill(1);

  test("is an event, with a key for pii only where there is some", () => {
    const { toEvent } = eventReader("exact", undefined);
    const { dates: _, ...event } = { ...row, id: 7, created: new Date(5) };
    expect(toEvent(row)).toEqual(event);
    expect(Object.keys(toEvent({ ...row, pii: null }))).not.toContain("pii");
    expect(toEvent({ ...row, pii: { a: 1 } })).toEqual({ ...event, pii: { a: 1 } });
    expect(toEvent({ ...row, pii: "plain" })).toEqual({ ...event, pii: "plain" });
  });

  test("gets its Dates from the note beside it, else from their look if so configured", () => {
    const given = () => ({ ...row, data: { at: iso }, meta: { at: iso }, pii: { at: iso } });
    const noted = { data: [["at"]], meta: [["at"]], pii: [["at"]] };
    for (const mode of ["exact", "revive"] as const) {
      const { toEvent } = eventReader(mode, undefined);
      const all = { data: { at: date }, meta: { at: date }, pii: { at: date } };
      expect(toEvent({ ...given(), dates: noted })).toMatchObject(all);
      expect(toEvent({ ...given(), dates: {} })).toMatchObject({ data: { at: iso }, meta: { at: iso } });
      const revived = mode === "revive" ? all : { data: { at: iso }, meta: { at: iso }, pii: { at: iso } };
      expect(toEvent({ ...given(), dates: null })).toMatchObject(revived);
    }
    expect(eventReader("exact", undefined).toEvent({ ...row, dates: noted })).not.toHaveProperty("pii");
  });

  test("with encrypted pii is opened by the key, and an error without one", async () => {
    const message = { name: "A", data: {}, pii: { at: date } };
    const { events } = encodeEvents("s", [message], { correlation: "", causation: {} }, key);
    const [event] = events;
    const sealed = { ...row, pii: JSON.parse(event?.pii ?? ""), dates: JSON.parse(event?.dates ?? "") };
    expect(typeof sealed.pii).toBe("string");
    expect(() => eventReader("exact", undefined).toEvent(sealed)).toThrow(
      'the pii of stream "s", event 7 is encrypted: set pii_encryption',
    );
    let asked = 0;
    const reader = eventReader(
      "exact",
      new PiiCipher(() => {
        asked++;
        return key;
      }),
    );
    await reader.prepare([]);
    await reader.prepare([row, { ...row, pii: { plain: true } }]);
    expect(asked).toBe(0);
    expect(() => reader.toEvent(sealed)).toThrow("set pii_encryption");
    await reader.prepare([row, sealed]);
    expect(asked).toBe(1);
    expect(reader.toEvent(sealed)).toMatchObject({ pii: { at: date } });
    expect(() => reader.toEvent({ ...sealed, pii: "plain" })).toThrow(
      'the pii of stream "s", event 7 cannot be decrypted',
    );
    expect(() => reader.toEvent({ ...sealed, dates: { pii: "tampered" } })).toThrow(
      'the pii of stream "s", event 7 cannot be decrypted',
    );
    expect(reader.toEvent({ ...sealed, pii: { open: 1 }, dates: {} })).toMatchObject({ pii: { open: 1 } });
  });

  test("has an id that JavaScript can tell from its neighbours, or is an error", () => {
    expect(safeId("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
    for (const id of ["9007199254740992", "x", undefined, 1.5])
      expect(() => safeId(id)).toThrow("an event id exceeds 2^53 and cannot be read as a number");
  });

  test("is asked for with pii, or without", () => {
    expect(eventColumns("e", { pii: true })).toMatch(
      /^e\.id, e\.name, e\.stream, e\.version, e\.data, e\.meta, e\.dates, e\.pii, case when e\.created/,
    );
    expect(eventColumns("e", { pii: false })).not.toContain("pii");
  });
});
