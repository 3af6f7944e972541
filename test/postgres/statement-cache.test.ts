/** Which statements stay prepared. */
import { expect, test } from "vitest";
import { StatementCache } from "../../src/postgres/statement-cache.ts";

const prepared = (name: string) => ({ name, columns: [] });

function filled(limit: number | undefined, ...texts: string[]): StatementCache {
  const cache = new StatementCache(limit);
  for (const text of texts) cache.set(text, prepared(`of ${text}`));
  return cache;
}

test("without a limit all stay", () => {
  const cache = filled(undefined, "a", "b", "c");
  expect(cache.surplus([], 5)).toEqual([]);
  expect(cache.size).toBe(3);
});

test("the one that was not used for longest makes room", () => {
  const cache = filled(3, "a", "b", "c");
  cache.get("a");
  expect(cache.surplus([{ text: "d" }], 1)).toEqual(["of b"]);
  expect(cache.get("b")).toBeUndefined();
  expect(cache.get("a")).toEqual(prepared("of a"));
});

test("a statement of the same message stays, even beyond the limit", () => {
  const cache = filled(2, "a", "b");
  expect(cache.surplus([{ text: "a" }, { text: "b" }, { text: "c" }], 1)).toEqual([]);
  expect(cache.size).toBe(2);
});

test("what has to be parsed anew is closed by the next message", () => {
  const cache = filled(10, "a", "b");
  cache.clear();
  expect(cache.size).toBe(0);
  expect(cache.surplus([], 1)).toEqual(["of a", "of b"]);
  expect(cache.surplus([], 1)).toEqual([]);
});
