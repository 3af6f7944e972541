/** Pages of a query, without a server: how many are asked for, how large, and who is waited for. */
import { expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import { query } from "../../src/events/query.ts";
import type { Query, Row } from "../../src/postgres/index.ts";
import { eventReader } from "../../src/schema/event-rows.ts";
import { namesOf } from "../../src/schema/names.ts";
import { paramsOf } from "./fixture.ts";

/** A log of `count` events, of which the pages named in `cuts` hold only so many. */
function scene(count: number, cuts: Readonly<Record<number, number>> = {}) {
  const asked: [after: unknown, limit: unknown][] = [];
  const budgets = new Set<number>();
  const readPage = async (_: string, asking: Query, budget: number) => {
    budgets.add(budget);
    const params = paramsOf(asking);
    const after = params.length === 2 ? Number(params[0]) : 0;
    const limit = Number(params.at(-1));
    const cut = cuts[asked.length];
    asked.push([after, limit]);
    // Script answers at once: what asked for ever would never let go of the event loop.
    if (asked.length > 9) throw new Error("asked without end");
    const size = Math.min(cut ?? limit, count - after);
    const row = (_: unknown, i: number): Row => ({ id: after + i + 1, stream: "s", dates: {} });
    return { rows: Array.from({ length: size }, row), cut: cut !== undefined };
  };
  const context = {
    names: namesOf("public", "events"),
    connections: { readPage },
    reader: eventReader("exact", undefined),
  } as unknown as Context;
  return { context, asked, budgets };
}

test("pages are read until one is short, and later ones are smaller than the first", async () => {
  const { context, asked } = scene(4_500);
  expect(await query(context, () => {})).toBe(4_500);
  expect(asked).toEqual([
    [0, 2_000],
    [2_000, 1_000],
    [3_000, 1_000],
    [4_000, 1_000],
  ]);
});

test("a page ends after 16,000,000 characters of JSON", async () => {
  const { context, budgets } = scene(4_500);
  await query(context, () => {});
  expect([...budgets]).toEqual([16_000_000]);
});

test("an empty page ends a log that ended with a full one", async () => {
  const { context, asked } = scene(2_000);
  expect(await query(context, () => {})).toBe(2_000);
  expect(asked.map(([after]) => after)).toEqual([0, 2_000]);
});

test.each([1, 2, 1.5, 2_000, 2_500])("a limit of %s reads no page beyond it", async (limit) => {
  const { context, asked } = scene(9_000);
  expect(await query(context, () => {}, { limit })).toBe(Math.ceil(limit));
  expect(asked).toEqual(
    limit > 2_000
      ? [
          [0, 2_000],
          [2_000, 500],
        ]
      : [[0, Math.ceil(limit)]],
  );
});

test("after a page that was cut short later pages have at most as many events as fitted", async () => {
  const { context, asked } = scene(2_000, { 0: 1_500, 1: 300 });
  expect(await query(context, () => {})).toBe(2_000);
  expect(asked).toEqual([
    [0, 2_000],
    [1_500, 1_500],
    [1_800, 300],
  ]);
});

test.each([undefined, null])("a callback that returns %s is not awaited", async (nothing) => {
  const { context } = scene(3);
  const order: string[] = [];
  const callback = ({ id }: { id: number }): unknown => {
    order.push(`event ${id}`);
    queueMicrotask(() => order.push("turn"));
    return nothing;
  };
  await query(context, callback as () => void);
  expect(order).toEqual(["event 1", "event 2", "event 3", "turn", "turn", "turn"]);
});
