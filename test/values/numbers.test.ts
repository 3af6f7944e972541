/** The nearest numbers and times that PostgreSQL holds, and conditions as texts. */
import { expect, test } from "vitest";
import { Conditions } from "../../src/postgres/conditions.ts";
import { toTime } from "../../src/values/time.ts";
import { toId, toInt } from "../../src/values/validate.ts";

test("whole numbers of 32 bits", () => {
  expect([1.9, -1.9, 2_147_483_647, 2_147_483_648, -2_147_483_648, -2_147_483_649].map(toInt)).toEqual([
    1, -1, 2_147_483_647, 2_147_483_647, -2_147_483_648, -2_147_483_648,
  ]);
  expect([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(toInt)).toEqual([
    2_147_483_647, -2_147_483_648,
  ]);
});

test("whole numbers that JavaScript tells apart", () => {
  const most = Number.MAX_SAFE_INTEGER;
  expect([1.9, -1.9, most, most * 4, -most, -most * 4].map(toId)).toEqual([1, -1, most, most, -most, -most]);
});

test("times from 4713 BC to 294276 AD", () => {
  expect([1.9, -1.9, 8.64e15, 1e16, -1e16].map(toTime)).toEqual([
    1, -1, 8.64e15, 9_224_318_015_999_000, -210_866_803_200_000,
  ]);
});

test("conditions number their parameters, and join by and", () => {
  const where = new Conditions();
  expect(where.where).toBe("");
  where.add(`a = ${where.param(1)}`);
  expect(where.where).toBe(" where a = $1");
  where.match("stream", "c", "^x$", undefined);
  where.match("stream", "c", "x", true);
  where.match("stream", "c", "^", false);
  where.match("stream", "c", "mid", false);
  where.match("stream", "c", "a.b", false);
  where.match("stream", "c", "^pre", false);
  where.match("stream", "c", "^\u{10ffff}", false);
  expect(where.where).toBe(
    " where a = $1 and c = $2::text and c = $3::text and strpos(c, $4::text) > 0 and c ~ $5::text" +
      " and c ~>=~ $6::text and c ~<~ $7::text and c ~>=~ $8::text",
  );
  expect(where.params).toEqual([1, "x", "x", "mid", "a[^\\n\\r\\u2028\\u2029]b", "pre", "prf", "\u{10ffff}"]);
});
