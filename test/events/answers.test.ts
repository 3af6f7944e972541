/** What is read from the database's answers, without one: outcomes of appends, lost groups, payloads, rows. */
import { describe, expect, test } from "vitest";
import { PiiCipher } from "../../src/codec/encryption.ts";
import { type Append, appendStatements, NEVER, readOutcomes } from "../../src/events/append.ts";
import { encodeEvents } from "../../src/events/encode.ts";
import { placesQuery, readFates, recoverQuery } from "../../src/events/recover.ts";
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

  test("with the last commit's ids missing is an error as well, whatever the others have", () => {
    const group = [append("a", null), append("b", 3), append("c", null)];
    const row = { heads: "{-1,4,-1}", ids: "{1}", created: 0 };
    expect(() => readOutcomes(group, row)).toThrow("does not match");
  });

  test("that is missing is no conflict at a head that nobody has seen", () => {
    for (const row of [undefined, { heads: null, ids: null, created: 0 }])
      for (const expected of [null, -1, 5])
        expect(() => readOutcomes([append("a", expected)], row)).toThrow("does not match");
    expect(readOutcomes([append("a", 5)], { heads: "{3}", ids: null, created: 0 }).outcomes).toEqual([
      { landed: false, head: 3, ids: [] },
    ]);
  });
});

describe("the statements of an append", () => {
  /** Made anew by each test. */
  const statements = () => {
    const made = appendStatements(names, undefined);
    const groups = [
      [append("a", null)],
      [append("a", null), append("b", null)],
      [append("a", null), append("b", null), append("a", null)],
    ];
    return { ...made, texts: groups.map((group) => made.insert(group).text) };
  };

  test("are three: one commit, several streams, and streams that come again", () => {
    const { insert, texts } = statements();
    expect(new Set(texts).size).toBe(3);
    expect(insert([append("x", 3, 5)]).text).toBe(texts[0]);
    expect(insert([append("x", 3), append("y", 3), append("z", 3)]).text).toBe(texts[1]);
    expect(insert([append("x", 3), append("x", 3)]).text).toBe(texts[2]);
  });

  test("are prepared by insertions of nothing", () => {
    const { warm, texts } = statements();
    expect(warm.map(({ text }) => text)).toEqual(texts);
    expect(warm[0]?.params).toEqual(["", NEVER, 0, "{}", "{}", "", "", ""]);
    for (const { params } of warm.slice(1)) expect(params?.every((p) => p === "{}" || p === "")).toBe(true);
  });

  test("tell the transaction's id with the lock, and end it", () => {
    const { open, commit } = statements();
    expect(open.text).toMatch(
      /^begin isolation level read committed; select pg_advisory_xact_lock\(.* as xid$/,
    );
    expect(commit.text).toBe("commit");
  });

  test("count the turns of a stream from 1", () => {
    const { insert } = statements();
    const { params } = insert([append("a", null), append("b", 1, 2), append("a", 2)]);
    expect(params?.slice(0, 4)).toEqual(['{"a","b","a"}', "{NULL,1,2}", "{1,2,1}", "{1,1,2}"]);
    expect(params?.slice(5, 8)).toEqual(["{1,2,2,3}", "{1,1,2,1}", '{"A","A","A","A"}']);
  });
});

describe("a group whose connection was lost", () => {
  const committed = (prints: string) => [{ prints, status: "committed" }];
  const own = (stream: string, ids: string, versions: string, prints: string) => ({
    stream,
    ids,
    versions,
    prints,
    created: 10,
  });
  const none = (stream: string) => ({ stream, ids: null, versions: null, prints: null, created: null });
  const landed = (head: number, ...ids: number[]) => ({
    outcome: { landed: true, head, ids },
    created: new Date(10),
  });
  const conflict = (head: number) => ({ outcome: { landed: false, head, ids: [] }, created: new Date(0) });
  const ahead = { head: 9, seeded: false, place: "other" };

  test("is absent if the server rolled it back, or has never heard of it", () => {
    const group = [append("a", 3), append("b", null)];
    const rows = [own("a", "{1}", "{4}", "{x}"), own("b", "{2}", "{0}", "{y}")];
    for (const status of ["aborted", "in progress", null])
      expect(readFates(group, [[{}], [ahead], rows, [{ prints: "{x,y}", status }]])).toEqual([
        "absent",
        "absent",
      ]);
  });

  test("is unknown if there is no answer, or none for it", () => {
    for (const answers of [[], [[{}]], [[{}], []]])
      expect(readFates([append("a", -1), append("b", null)], answers)).toEqual(["unknown", "unknown"]);
  });

  test("was committed as its rows say, and what lost is told what stands in its place", () => {
    const group = [append("a", -1, 2), append("b", 5), append("a", 1), append("c", null), append("a", 1)];
    const rows = [own("a", "{1,2,3}", "{0,1,2}", "{x,y,z}"), none("b"), own("c", "{4}", "{4}", "{w}")];
    const places = [ahead, { ...ahead, head: 7 }, ahead, ahead, ahead];
    expect(readFates(group, [[{}], places, rows, committed("{x,y,lost,z,w,lost}")])).toEqual([
      landed(-1, 1, 2),
      conflict(7),
      landed(1, 3),
      landed(3, 4),
      conflict(9),
    ]);
  });

  test("is unknown where its rows are gone, and never a conflict if it was not guarded", () => {
    const group = [append("a", null), append("b", null), append("a", 3), append("c", 3), append("d", 9)];
    const rows = [own("a", "{1}", "{4}", "{x}"), none("b"), none("c")];
    const places = [ahead, ahead, { ...ahead, place: "same" }, { ...ahead, place: null }, ahead];
    expect(readFates(group, [[{}], places, rows, committed("{x,y,z,w,v}")])).toEqual([
      landed(3, 1),
      ...["unknown", "unknown", "unknown", "unknown"],
    ]);
  });

  test("left none of its rows if one of those found is another's, or one too many", () => {
    const rows = [own("a", "{1,2}", "{0,1}", "{x,y}"), own("b", "{3}", "{0}", "{z}")];
    const group = [append("a", null, 2), append("b", null)];
    const read = (appends: Append[], prints: string) =>
      readFates(appends, [[{}], [], rows, committed(prints)]);
    expect(read(group, "{x,y,z}")).toEqual([landed(-1, 1, 2), landed(-1, 3)]);
    for (const prints of ["{-,y,z}", "{x,-,z}", "{x,y,-}", "{y,x,z}"])
      expect(read(group, prints)).toEqual(["unknown", "unknown"]);
    expect(read([append("a", null), append("b", null)], "{x,z}")).toEqual(["unknown", "unknown"]);
    expect(read([append("a", null, 2)], "{x,y}")).toEqual(["unknown"]);
    expect(read([append("a", 0, 2), append("b", -1)], "{x,y,z}")).toEqual(["unknown", "unknown"]);
    // What stands in its place is the transaction's, and perhaps its own, rewritten by a trigger.
    const places = [{ head: 1, seeded: false, place: "own" }];
    expect(readFates([append("a", -1, 2)], [[{}], places, rows, committed("{-,-}")])).toEqual(["unknown"]);
    // Nor is it another commit's where nothing was found, the log having been restored meanwhile.
    expect(readFates([append("a", -1)], [[{}], places, [none("a")], committed("{-}")])).toEqual(["unknown"]);
  });

  test("is asked for by the names of its streams, each once, and the transaction's id", () => {
    const group = [append("a", 0), append("b", 0), append("a", 0)];
    expect(recoverQuery(names, group, "77", 5).params).toEqual(['{"a","b"}', "77", 5]);
  });

  test("is looked for in its place by what it would have written first", () => {
    const one: Append = {
      stream: "a",
      expected: 1,
      meta: '{"m":1}',
      events: [{ ...entry, data: '{"d":1}' }],
    };
    const none: Append = { stream: "b", expected: null, meta: "{}", events: [] };
    const params = ['{"a","b"}', "{1,NULL}", '{"A",""}', '{"d":1}\u001enull', '{"m":1}\u001e{}'];
    const asked = (xid?: string) => placesQuery(names, [one, none], { xid, after: 5 }).params;
    expect(asked()).toEqual([...params, null, 5]);
    expect(asked("77")).toEqual([...params, "77", 5]);
  });

  test("of which nothing was heard is absent below its place, unless that was truncated", () => {
    const places = [
      { head: 2, seeded: false, place: null },
      { head: 1, seeded: false, place: null },
      { head: 0, seeded: true, place: null },
      { head: 3, seeded: false, place: "same" },
      { head: 3, seeded: false, place: "other" },
      { head: 3, seeded: false, place: "seed" },
      { head: 4, seeded: false, place: null },
      { head: 9, seeded: false, place: null },
    ];
    const group = [2, 2, 2, 2, 2, -1, 2, null, 2].map((expected) => append("a", expected));
    expect(readFates(group, [[{}], places])).toEqual([
      ...["absent", "absent", "unknown", "unknown"],
      conflict(3),
      ...["unknown", "unknown", "unknown", "unknown"],
    ]);
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
    const { toEvent } = eventReader("exact", undefined);
    expect(toEvent({ ...row, dates: noted })).not.toHaveProperty("pii");
    // What was a Date altogether, and has been forgotten.
    expect(toEvent({ ...row, pii: null, dates: { pii: [[]] } })).not.toHaveProperty("pii");
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
    // What was forgotten, or was never there, is not opened.
    expect(reader.toEvent({ ...sealed, pii: null, dates: { pii: "tampered" } })).not.toHaveProperty("pii");
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
