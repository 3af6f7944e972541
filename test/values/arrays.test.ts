/** The array formats, to the character. */
import { expect, test } from "vitest";
import {
  joinJson,
  nestedArray,
  nullableTextArray,
  numberArray,
  parseArray,
  parseNumbers,
  SEPARATOR,
  splitJson,
  textArray,
} from "../../src/postgres/parameters.ts";

test("a text[] literal quotes every value, and escapes quotes and backslashes", () => {
  expect(textArray([])).toBe("{}");
  expect(textArray(["a", "", 'q"', "b\\", "c,{}"])).toBe('{"a","","q\\"","b\\\\","c,{}"}');
  expect(nullableTextArray(["a", null, "NULL", 'q"\\'])).toBe('{"a",NULL,"NULL","q\\"\\\\"}');
});

test("an array of numbers has NULL for null", () => {
  expect(numberArray([])).toBe("{}");
  expect(numberArray([1, null, -2.5, true])).toBe("{1,NULL,-2.5,true}");
});

test("the numbers of a result come back, and nothing for no result", () => {
  expect(parseNumbers("{7}")).toEqual([7]);
  expect(parseNumbers("{1,-2,9007199254740991}")).toEqual([1, -2, 9_007_199_254_740_991]);
  for (const none of ["{}", null, undefined, 5]) expect(parseNumbers(none)).toEqual([]);
});

test("an array of any values, of any depth, comes back as it was", () => {
  for (const [values, literal] of [
    [[], "{}"],
    [["a", "", "NULL", "c,{} "], '{"a","","NULL","c,{} "}'],
    [[null, 'q"\\'], '{NULL,"q\\"\\\\"}'],
    [
      [
        ["1", "2"],
        ["3", null],
      ],
      '{{"1","2"},{"3",NULL}}',
    ],
  ] as const) {
    expect(nestedArray(values, String)).toBe(literal);
    expect(parseArray(literal, String)).toEqual(values);
  }
  expect(nestedArray([undefined, 7], String)).toBe('{NULL,"7"}');
  expect(parseArray("[0:1]={7,NULL}", Number)).toEqual([7, null]);
});

test("an array that is cut off ends the parsing too", () => {
  for (const cut of ["{a", '{"a', "{", "", "{{1,2}", '{"a\\'])
    expect(parseArray(cut, String), cut).toBeInstanceOf(Array);
});

test("JSON documents are joined by a character that JSON text never contains", () => {
  expect(SEPARATOR).toBe("\u001e");
  expect(joinJson(["{}", null, '"\\u001e"'])).toBe('{}\u001e\u001e"\\u001e"');
  expect(splitJson("$3")).toBe("string_to_array($3, E'\\x1e', '')");
});
