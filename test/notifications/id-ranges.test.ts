/** A set of ids that is kept as ranges. */
import { expect, test } from "vitest";
import { IdRanges } from "../../src/notifications/id-ranges.ts";

const of = (...ranges: [number, number][]) => {
  const ids = new IdRanges(1_000);
  for (const [from, to] of ranges) ids.add(from, to);
  return ids;
};
const upTo = (last: number, ids: IdRanges) =>
  Array.from({ length: last }, (_, i) => i + 1).filter((id) => ids.has(id));

test("an empty set holds nothing and has no highest id", () => {
  const ids = of();
  expect(ids.has(1)).toBe(false);
  expect(ids.highest).toBeUndefined();
  expect(ids.size).toBe(0);
});

test("a range includes both its ends, and not the ids beside them", () => {
  expect(upTo(9, of([3, 5]))).toEqual([3, 4, 5]);
});

test("consecutive ids become one range, in whatever order they are added", () => {
  for (const order of [
    [1, 2, 3, 4, 5],
    [5, 4, 3, 2, 1],
    [1, 3, 5, 2, 4],
  ]) {
    const ids = of(...order.map((id): [number, number] => [id, id]));
    expect(ids.size).toBe(1);
    expect(upTo(7, ids)).toEqual([1, 2, 3, 4, 5]);
  }
});

test.each<[string, [number, number], number, number[]]>([
  ["lies within another", [4, 5], 2, [3, 4, 5, 6, 9, 10]],
  ["overlaps another from below", [2, 4], 2, [2, 3, 4, 5, 6, 9, 10]],
  ["overlaps another from above", [6, 7], 2, [3, 4, 5, 6, 7, 9, 10]],
  ["touches another from below", [1, 2], 2, [1, 2, 3, 4, 5, 6, 9, 10]],
  ["touches two", [7, 8], 1, [3, 4, 5, 6, 7, 8, 9, 10]],
  ["covers two", [1, 12], 1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
  ["comes before all others, apart", [1, 1], 3, [1, 3, 4, 5, 6, 9, 10]],
  ["comes behind all others, apart", [12, 12], 3, [3, 4, 5, 6, 9, 10, 12]],
])("a range that %s is joined to what it meets, and to nothing else", (_, range, size, held) => {
  const ids = of([3, 6], [9, 10], range);
  expect(upTo(13, ids)).toEqual(held);
  expect(ids.size).toBe(size);
});

test("the highest id is that of all ranges, not that of the last one added", () => {
  expect(of([7, 9], [1, 2]).highest).toBe(9);
});

test("a set that was cleared is empty, and can be filled again", () => {
  const ids = of([1, 5], [8, 9]);
  ids.clear();
  expect(upTo(9, ids)).toEqual([]);
  ids.add(2, 2);
  expect(upTo(9, ids)).toEqual([2]);
});

test("a single writer's million commits are one range", () => {
  const ids = new IdRanges(1_000);
  for (let id = 1; id <= 1_000_000; id++) ids.add(id, id);
  expect(ids.size).toBe(1);
  expect(ids.highest).toBe(1_000_000);
});

test("beyond the limit the lowest ranges are removed", () => {
  const ids = new IdRanges(3);
  for (let id = 2; id <= 20; id += 2) ids.add(id, id);
  expect(ids.size).toBe(3);
  expect(upTo(20, ids)).toEqual([16, 18, 20]);
  // A low one that comes late is what is forgotten.
  ids.add(1, 1);
  expect(upTo(20, ids)).toEqual([16, 18, 20]);
});
