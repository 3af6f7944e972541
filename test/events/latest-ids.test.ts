/** Which streams are remembered by the id of their newest event. */
import { expect, test } from "vitest";
import { LatestIds } from "../../src/events/latest-ids.ts";

test("the streams that were used last are remembered, as many as there is room for", () => {
  const ids = new LatestIds(2);
  ids.set("a", 1);
  ids.set("b", 2);
  ids.set("a", 3);
  ids.set("c", 4);
  expect(["a", "b", "c"].map((stream) => ids.get(stream))).toEqual([3, undefined, 4]);
});
