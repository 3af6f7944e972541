/** Numbers without measure: a verb answers, or refuses with a ValidationError; the database never has to. */
import { ConcurrencyError, ValidationError } from "@rotorsoft/act";
import { beforeAll, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { contents, fill, outcomeOf, shown } from "./log.ts";
import { slots } from "./slots.ts";

const fixture = useDatabase();
const meta = { correlation: "", causation: {} };
let store: PostgresStore;

beforeAll(async () => {
  store = new PostgresStore({ ...fixture.parts, table: "numbers" });
  await store.seed();
  await fill(store);
  return () => store.dispose();
});

const extremes = [
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  1e300,
  -1e300,
  2 ** 63,
  -(2 ** 63) - 2_048,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  2 ** 31,
  -(2 ** 31) - 1,
  40_000,
  1.5,
  -0.5,
  5e-324,
  -0,
];
const dates = [8.64e15, -8.64e15, -210_866_803_200_001, 253_402_300_800_000, -1, 0].map((ms) => new Date(ms));

describe("any number is answered or refused", () => {
  test.each(slots.filter(({ kind }) => kind.startsWith("number")))("as $path of $verb", async ({ call }) => {
    for (const value of extremes) {
      const outcome = await outcomeOf(() => call(store, value as never));
      if (!("error" in outcome)) continue;
      const typed = outcome.error instanceof ValidationError || outcome.error instanceof ConcurrencyError;
      expect(typed || outcome.error, shown(value)).toBe(true);
    }
  });

  test.each(slots.filter(({ kind }) => kind.startsWith("date")))(
    "and any Date, as $path of $verb",
    async ({ call }) => {
      for (const value of dates) {
        const outcome = await outcomeOf(() => call(store, value as never));
        if ("error" in outcome) expect(outcome.error, shown(value)).toBeInstanceOf(ValidationError);
      }
    },
  );
});

test("a version or a time that the table cannot hold is not restored as another one", async () => {
  const own = await fixture.seeded();
  await fill(own);
  const before = await contents(fixture, own);
  const fine = { id: 1, stream: "r", version: 0, created: new Date(), name: "Fine", data: {}, meta };
  const bad = [
    ...[2 ** 31, 1e20, Number.POSITIVE_INFINITY, 1.5, -(2 ** 31) - 1].map((version) => ({ version })),
    { created: new Date(-8.64e15) },
  ];
  for (const over of bad) {
    const restored = own.restore(async (insert) => {
      await insert(fine);
      await insert({ ...fine, stream: "other", ...over });
    });
    await expect(restored, shown(over)).rejects.toBeInstanceOf(ValidationError);
    expect(await contents(fixture, own)).toBe(before);
  }
});

test("a version that no head can have is a conflict that tells the real head, and writes nothing", async () => {
  const own = await fixture.seeded();
  await own.commit("s", [{ name: "A", data: {} }], meta);
  for (const expected of extremes.filter((n) => n !== 0)) {
    const outcome = await outcomeOf(() => own.commit("s", [{ name: "B", data: {} }], meta, expected));
    const error = "error" in outcome ? outcome.error : outcome;
    expect(error, shown(expected)).toBeInstanceOf(ConcurrencyError);
    expect(error, shown(expected)).toMatchObject({ lastVersion: 0, expectedVersion: expected });
  }
  expect(await fixture.rows(own)).toHaveLength(1);
});

test("a lease without end is a lease, one of no or negative time is over at once", async () => {
  const own = await fixture.seeded();
  await own.subscribe([{ stream: "t", correlated_at: 9 }]);
  for (const millis of [0, -1, -1e300, Number.NEGATIVE_INFINITY])
    expect(await own.claim(1, 0, "w", millis), String(millis)).toHaveLength(1);
  expect(await own.claim(1, 0, "w", Number.POSITIVE_INFINITY)).toHaveLength(1);
  expect(await own.claim(1, 0, "other", 1)).toEqual([]);
});

test("asking for any number of subscriptions gives those that there are", async () => {
  for (const lagging of [2 ** 31, 2 ** 63, 1e300, Number.POSITIVE_INFINITY]) {
    const own = await fixture.seeded();
    await own.subscribe([1, 2, 3].map((n) => ({ stream: `t-${n}`, correlated_at: 9 })));
    expect(await own.claim(lagging, lagging, "w", 60_000), String(lagging)).toHaveLength(3);
  }
});

test("a retry counter at its end stays there", async () => {
  const own = await fixture.seeded();
  await own.subscribe([{ stream: "t", correlated_at: 9 }]);
  const [lease] = await own.claim(1, 0, "w", 60_000);
  if (!lease) throw new Error("nothing to claim");
  await own.ack([{ ...lease, retry: 2_147_483_647, due: 1 }]);
  expect(await own.claim(1, 0, "w", 60_000)).toMatchObject([{ stream: "t", retry: 2_147_483_647 }]);
});
