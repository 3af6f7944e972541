/** Where the Dates are, and how they are set again: without a database. */
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { datePaths, refusedJson, refusedText, reviveDates, setDates } from "../../src/values/json-dates.ts";

const date = new Date(86_400_000);
const iso = date.toISOString();

test.each([
  ["a Date alone", date, [[]]],
  ["one under a key", { at: date }, [["at"]]],
  ["one in a list", [1, date], [[1]]],
  ["one in a list of lists", [[], [0, [date]]], [[1, 1, 0]]],
  ["several, in order", { b: date, a: { c: date }, d: [date] }, [["b"], ["a", "c"], ["d", 0]]],
  ["one behind null, text and numbers", { n: null, t: "t", x: 5, l: [null, "t", 5, date] }, [["l", 3]]],
  ["one that toJSON hands out", { box: { toJSON: () => ({ at: date }) } }, [["box", "at"]]],
  ["one in a list that toJSON hands out", [{ toJSON: () => [date] }], [[0, 0]]],
  ["one beside a toJSON that is no function", { toJSON: 5, at: date }, [["at"]]],
] as const)("%s is noted", (_, value, paths) => {
  expect(datePaths(value)).toEqual(paths);
});

test.each([
  ["nothing", undefined],
  ["null", null],
  ["text", iso],
  ["a number", 5],
  ["an empty object", {}],
  ["an empty list", []],
  ["text under keys and in lists", { at: iso, list: [iso, null] }],
  ["what toJSON makes of a Date", { toJSON: () => iso, at: date }],
  ["a Date that toJSON hands out, which JSON writes as {}", { at: { toJSON: () => date } }],
  ["what is handed out with a toJSON of its own", { toJSON: () => ({ toJSON: () => ({ at: date }) }) }],
  ["a function", () => date],
  ["undefined that toJSON hands out", { toJSON: () => undefined }],
  ["null that toJSON hands out", { toJSON: () => null }],
  ["a function that toJSON hands out", { toJSON: () => Object.assign(() => {}, { at: date }) }],
])("%s has none", (_, value) => {
  expect(datePaths(value)).toBeUndefined();
});

test("a Date of another realm is one", () => {
  const value = { at: runInNewContext("new Date(0)") };
  expect(datePaths(value)).toEqual([["at"]]);
});

test("toJSON is told the key it stands under, as JSON.stringify does", () => {
  const keys: string[] = [];
  const box = {
    toJSON(key: string) {
      keys.push(key);
      return {};
    },
  };
  datePaths({ under: box, list: [1, box] });
  datePaths(box);
  const told = [...keys];
  keys.length = 0;
  JSON.stringify({ under: box, list: [1, box] });
  JSON.stringify(box);
  expect(told).toEqual(keys);
});

test("Dates are set at their paths", () => {
  expect(setDates(iso, [[]])).toEqual(date);
  expect(
    setDates({ a: [iso, { b: iso }] }, [
      ["a", 0],
      ["a", 1, "b"],
    ]),
  ).toEqual({ a: [date, { b: date }] });
  expect(setDates({ a: iso }, undefined)).toEqual({ a: iso });
  expect(setDates(undefined, undefined)).toBeUndefined();
});

test("what a path leads past is left alone", () => {
  for (const value of [{}, { a: null }, { a: 5 }, { a: "text" }, null, 5])
    expect(
      setDates(structuredClone(value), [
        ["a", "b", "c"],
        ["x", "y"],
      ]),
    ).toEqual(value);
  expect(setDates({ a: {} }, [["a", "b"]])).toEqual({ a: {} });
  expect(Object.hasOwn(Object(setDates({}, [["toString"]])), "toString")).toBe(false);
});

test("a path does not lead out of the document", () => {
  expect(setDates({}, [["__proto__", "polluted"]])).toEqual({});
  expect(setDates({}, [["constructor", "prototype", "polluted"]])).toEqual({});
  expect("polluted" in {}).toBe(false);
});

test("a Date that is set is a property like any other", () => {
  const given = JSON.parse(`{"__proto__": {"at": "${iso}"}, "b": "${iso}"}`);
  const value = setDates(given, [["__proto__", "at"], ["b"]]);
  const inner = Object.getOwnPropertyDescriptor(value, "__proto__")?.value;
  expect(inner).toEqual({ at: date });
  const plain = { value: date, writable: true, enumerable: true, configurable: true };
  expect(Object.getOwnPropertyDescriptor(value, "b")).toEqual(plain);
  expect(Object.getOwnPropertyDescriptor(inner, "at")).toEqual(plain);
});

test("what was noted as a Date and is no text any more is an invalid Date", () => {
  expect(Number(setDates(5, [[]]))).toBeNaN();
  expect(setDates({ a: 5 }, [["a"]])).toEqual({ a: new Date(Number.NaN) });
});

test.each([
  "1970-01-02T00:00:00.000Z",
  "1970-01-02T00:00:00Z",
  "1970-01-02T00:00:00.123456Z",
  "1970-12-31T23:59:59.9",
  "1999-10-10T10:10:10+02:00",
  "1999-11-29T19:20:30-11:59",
  "2024-09-30T09:59:00",
])("%s is revived as a Date", (text) => {
  expect(reviveDates(text)).toEqual(new Date(text));
  expect(reviveDates([text, { a: text }])).toEqual([new Date(text), { a: new Date(text) }]);
});

test.each([
  ..."x1970-01-02T00:00:00Z 1970-01-02T00:00:00Zx 19700-01-02T00:00:00Z 970-01-02T00:00:00Z".split(" "),
  ..."1970-00-02T00:00:00Z 1970-13-02T00:00:00Z 1970-20-02T00:00:00Z 1970-1-02T00:00:00Z".split(" "),
  ..."1970-01-00T00:00:00Z 1970-01-32T00:00:00Z 1970-01-40T00:00:00Z 1970-01-2T00:00:00Z".split(" "),
  ..."1970-01-02T24:00:00Z 1970-01-02T30:00:00Z 1970-01-02T0:00:00Z 1970-01-02T00:60:00Z".split(" "),
  ..."1970-01-02T00:00:60Z 1970-01-02T00:00Z 1970-01-02T00:00:0Z 1970-01-02T00:0:00Z".split(" "),
  ..."1970-01-02T00:00:00.Z 1970-01-02T00:00:00.xZ 1970-01-02T00:00:00z 1970-01-02".split(" "),
  ..."1970-01-02T00:00:00+2:00 1970-01-02T00:00:00+30:00 1970-01-02T00:00:00+02:60".split(" "),
  ..."1970-01-02T00:00:00+02:0 1970-01-02T00:00:00+0200 1970-01-02␠00:00:00Z".split(" "),
  ..."aaaa-01-02T00:00:00Z 1970-0a-02T00:00:00Z 1970-01-0aT00:00:00Z 1970-01-1aT00:00:00Z".split(" "),
  ..."1970-01-02Ta0:00:00Z 1970-01-02T0a:00:00Z 1970-01-02T1a:00:00Z 1970-01-02T00:0a:00Z".split(" "),
  ..."1970-01-02T00:00:0aZ 1970-01-02T00:00:00+0a:00 1970-01-02T00:00:00+00:0a 1970-1a-02T00:00:00Z".split(
    " ",
  ),
])("%s is text", (text) => {
  expect(reviveDates(text)).toBe(text);
});

test("reviving looks into everything, changes nothing else, and no prototype", () => {
  const given = JSON.parse(
    `{"__proto__": {"at": "${iso}"}, "list": ["${iso}", [5, null]], "t": "t", "n": null}`,
  );
  const value = reviveDates(given);
  expect(value).toBe(given);
  const plain = { writable: true, enumerable: true, configurable: true };
  const inner = Object.getOwnPropertyDescriptor(value, "__proto__");
  expect(inner).toEqual({ value: { at: date }, ...plain });
  expect(Object.getOwnPropertyDescriptor(inner?.value, "at")).toEqual({ value: date, ...plain });
  expect(Object.entries(Object(value)).slice(1)).toEqual([
    ["list", [date, [5, null]]],
    ["t", "t"],
    ["n", null],
  ]);
  expect("at" in Object(value)).toBe(false);
  const frozen = Object.freeze({ t: "t", n: null, list: Object.freeze([]) });
  expect(reviveDates(frozen)).toBe(frozen);
  for (const alone of [5, null, undefined, true]) expect(reviveDates(alone)).toBe(alone);
});

const REASON = "contains U+0000 or a lone surrogate, which PostgreSQL cannot store";

test("JSON text is refused for U+0000 and half characters, and for nothing that looks like them", () => {
  for (const bad of [
    "\0",
    "a\0",
    "\ud800",
    "\udfff",
    "\udc00\ud800",
    "\\\0",
    "\\\\\ud9ab",
    "\udab0",
    "\udf0f",
  ])
    expect(refusedJson(JSON.stringify({ bad })), JSON.stringify(bad)).toBe(REASON);
  for (const fine of [
    "",
    "a",
    "\\",
    "\\u0000",
    "\\\\u0000",
    "\\ud800",
    "\u0001",
    "\u001f",
    "😀",
    "\\n",
    "u0000",
  ])
    expect(refusedJson(JSON.stringify({ fine })), JSON.stringify(fine)).toBeUndefined();
});

test("text is refused for the same", () => {
  for (const bad of ["\0", "a\0b", "\ud800", "\udc00\ud800"]) expect(refusedText(bad)).toBe(REASON);
  for (const fine of ["", "\\u0000", "\u0001", "😀"]) expect(refusedText(fine)).toBeUndefined();
});
