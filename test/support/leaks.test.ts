import { expect, test } from "vitest";
import { leaksIn } from "./leaks.ts";

test("a printed secret is noticed in its line, and not repeated", () => {
  const text = "one\ntwo hunter2 and hunter2\nthree\n{ mail: 'ann@example.org' }";
  expect(leaksIn(text, ["hunter2", "@example.org"])).toEqual(["two *** and ***", "{ mail: 'ann***' }"]);
  expect(leaksIn(text, ["hunter3"])).toEqual([]);
});
