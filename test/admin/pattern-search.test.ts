/** In which parts the log is searched for patterns, and in which order. */
import { expect, test } from "vitest";
import { searchPatterns } from "../../src/admin/pattern-search.ts";

type Part = { readonly name: string; readonly at: number; readonly last: number; readonly indexed: boolean };

const search = (name: string, at: number, last: number, indexed = false): Part => ({
  name,
  at,
  last,
  indexed,
});

/** Searches events with these ids for each name, and notes the statements. */
function log(ids: Readonly<Record<string, readonly number[] | undefined>>) {
  const statements: Part[][] = [];
  const lookUp = async (parts: readonly Part[]) => {
    statements.push([...parts]);
    return parts.map(({ name, at, last }) => {
      const found = ids[name]?.filter((id) => id > at && id <= last);
      return (
        found && { next: found[0], events: { count: Math.min(found.length, 10), exact: found.length <= 10 } }
      );
    });
  };
  return { statements, lookUp };
}

const forEver = { limit: 10, end: Number.POSITIVE_INFINITY };
const ranges = (statements: readonly (readonly Part[])[]) =>
  statements.map((parts) => parts.map(({ name, at, last }) => `${name} ${at} ${last}`));

test("each id is searched once, in parts that grow", async () => {
  const { statements, lookUp } = log({ a: [5, 3_000, 99_999] });
  const found = await searchPatterns([search("a", 4, 100_000)], { ...forEver, lookUp });
  expect(found).toEqual([{ next: 5, events: { count: 3, exact: true } }]);
  expect(ranges(statements)).toEqual([["a 4 2004"], ["a 2004 10004"], ["a 10004 42004"], ["a 42004 100000"]]);
});

test("all have their first parts before any has its second, and a statement takes a few", async () => {
  const names = Array.from({ length: 20 }, (_, n) => `n${n}`);
  const { statements, lookUp } = log(Object.fromEntries(names.map((name) => [name, []])));
  const found = await searchPatterns(
    names.map((name) => search(name, 0, 10_000)),
    { ...forEver, lookUp },
  );
  expect(found).toEqual(names.map(() => ({ next: undefined, events: { count: 0, exact: true } })));
  expect(statements.map((parts) => parts.length)).toEqual([16, 4, 4, 4, 4, 4, 4]);
  expect(new Set(statements.slice(0, 2).flatMap((parts) => parts.map(({ last }) => last)))).toEqual(
    new Set([2_000]),
  );
});

test("what an index finds is searched as a whole, and nothing beyond the limit", async () => {
  const many = Array.from({ length: 50 }, (_, n) => n + 1);
  const { statements, lookUp } = log({ indexed: [90_000], many, none: [] });
  const found = await searchPatterns(
    [search("indexed", 0, 100_000, true), search("many", 0, 100_000), search("none", 7, 7)],
    { ...forEver, lookUp },
  );
  expect(found).toEqual([
    { next: 90_000, events: { count: 1, exact: true } },
    { next: 1, events: { count: 10, exact: false } },
    { next: undefined, events: { count: 0, exact: true } },
  ]);
  expect(ranges(statements)).toEqual([["indexed 0 100000", "many 0 2000"]]);
});

test("parts that reach the limit only together are counted up to it", async () => {
  const spread = Array.from({ length: 11 }, (_, n) => n * 900 + 1);
  const { lookUp } = log({ a: spread, b: spread.slice(1) });
  const searches = ["a", "b"].map((name) => search(name, 0, 100_000));
  expect(await searchPatterns(searches, { ...forEver, lookUp })).toEqual([
    { next: 1, events: { count: 10, exact: false } },
    { next: 901, events: { count: 10, exact: true } },
  ]);
});

test("what the server cannot match is searched once, and has no answer", async () => {
  const { statements, lookUp } = log({ a: undefined, b: [] });
  const searches = ["a", "b"].map((name) => search(name, 0, 10_000));
  expect(await searchPatterns(searches, { ...forEver, lookUp })).toEqual([
    undefined,
    { next: undefined, events: { count: 0, exact: true } },
  ]);
  expect(ranges(statements)).toEqual([["a 0 2000", "b 0 2000"], ["b 2000 10000"]]);
});

test("after the time limit no statement begins, and what was found counts, but is not exact", async () => {
  const { statements, lookUp } = log({ a: [3, 5_000], b: [4_000] });
  const end = performance.now() + 50;
  const late = async (parts: readonly Part[]) => {
    const found = await lookUp(parts);
    while (performance.now() <= end);
    return found;
  };
  const searches = ["a", "b"].map((name) => search(name, 0, 10_000));
  expect(await searchPatterns(searches, { limit: 10, end, lookUp: late })).toEqual([
    { next: 3, events: { count: 1, exact: false } },
    { next: undefined, events: { count: 0, exact: false } },
  ]);
  expect(statements).toHaveLength(1);
});
