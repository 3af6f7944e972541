/** Which streams are remembered by the id of their newest event. */
import { expect, test } from "vitest";
import { LatestIds } from "../../src/events/latest-ids.ts";

test("streams are remembered by their newest id, and all are forgotten when there is no room for one more", () => {
  const ids = new LatestIds(2);
  const remembered = () => ["a", "b", "c"].map((stream) => ids.get(stream));
  ids.set("a", 1);
  ids.set("b", 2);
  ids.set("a", 3);
  expect(remembered()).toEqual([3, 2, undefined]);
  ids.set("c", 4);
  expect(remembered()).toEqual([undefined, undefined, 4]);
  ids.set("a", 5);
  expect(remembered()).toEqual([5, undefined, 4]);
});
