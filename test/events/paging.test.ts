/** Pages of a query, without a server: how many are asked for, how large, and who is waited for. */
import { expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import { query } from "../../src/events/query.ts";
import type { Query, Row } from "../../src/postgres/index.ts";
import { eventReader } from "../../src/schema/event-rows.ts";
import { namesOf } from "../../src/schema/names.ts";
import { paramsOf } from "./fixture.ts";

const BUDGET = 16_000_000;

/** A log of `count` events, each of which has so many characters. */
function fixture(count: number, sizeOf: (id: number) => number = () => 100) {
  const asked: [after: unknown, limit: unknown][] = [];
  const budgets = new Set<number>();
  /** Which pages were cut short, from 1. */
  const cuts: number[] = [];
  const readPage = async (_: string, asking: Query, { budget }: { budget: number }) => {
    budgets.add(budget);
    const params = paramsOf(asking);
    const after = params.length === 2 ? Number(params[0]) : 0;
    const limit = Number(params.at(-1));
    asked.push([after, limit]);
    // Script answers at once: what asked for ever would never let go of the event loop.
    if (asked.length > 500) throw new Error("asked without end");
    const rows: Row[] = [];
    let bytes = 0;
    while (rows.length < Math.min(limit, count - after) && bytes <= budget) {
      const id = after + rows.length + 1;
      bytes += sizeOf(id);
      rows.push({ id, stream: "s", dates: {} });
    }
    const cut = bytes > budget && rows.length < limit;
    if (cut) cuts.push(asked.length);
    return { rows, cut, bytes };
  };
  const context = {
    names: namesOf("public", "events"),
    connections: { readPage },
    reader: eventReader("exact", undefined),
  } as unknown as Context;
  return { context, asked, budgets, cuts };
}

test("pages are read until one is short, and later ones are smaller than the first", async () => {
  const { context, asked } = fixture(4_500);
  expect(await query(context, () => {})).toBe(4_500);
  expect(asked).toEqual([
    [0, 2_000],
    [2_000, 1_000],
    [3_000, 1_000],
    [4_000, 1_000],
  ]);
});

test("a page ends after 16,000,000 characters of JSON", async () => {
  const { context, budgets } = fixture(4_500);
  await query(context, () => {});
  expect([...budgets]).toEqual([BUDGET]);
});

test("an empty page ends a log that ended with a full one", async () => {
  const { context, asked } = fixture(2_000);
  expect(await query(context, () => {})).toBe(2_000);
  expect(asked.map(([after]) => after)).toEqual([0, 2_000]);
});

test.each([1, 2, 1.5, 2_000, 2_500])("a limit of %s reads no page beyond it", async (limit) => {
  const { context, asked } = fixture(9_000);
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

test("a page that its budget cut is the only one: later pages ask for what fits", async () => {
  for (const size of [10_000, 1_000_000, 5_000_000, 20_000_000]) {
    const { context, asked, cuts } = fixture(size > BUDGET ? 20 : 400, () => size);
    await query(context, () => {});
    expect(cuts, String(size)).toEqual(size === 10_000 ? [] : [1]);
    const largest = Math.max(...asked.slice(1).map(([, limit]) => Number(limit)), 0);
    expect(largest * size, String(size)).toBeLessThanOrEqual(Math.max(size, BUDGET));
  }
});

test("pages grow again behind large events", async () => {
  const { context, asked, cuts } = fixture(6_000, (id) => (id <= 20 ? 1_000_000 : 100));
  expect(await query(context, () => {})).toBe(6_000);
  expect(cuts).toEqual([1]);
  expect(asked.at(-1)?.[1]).toBe(1_000);
});

test.each([undefined, null])("a callback that returns %s is not awaited", async (nothing) => {
  const { context } = fixture(3);
  const order: string[] = [];
  const callback = ({ id }: { id: number }): unknown => {
    order.push(`event ${id}`);
    queueMicrotask(() => order.push("turn"));
    return nothing;
  };
  await query(context, callback as () => void);
  expect(order).toEqual(["event 1", "event 2", "event 3", "turn", "turn", "turn"]);
});
