/** Values that nobody should pass, beside those that somebody might. */
import fc from "fast-check";
import { type Kind, slots, wrong } from "../../input/slots.ts";
import { payload, poison } from "../../model/values.ts";

const numbers = fc.oneof(
  fc.constantFrom(
    ...[
      0,
      -0,
      1,
      -1,
      0.5,
      -0.5,
      1e-320,
      2 ** 31 - 1,
      2 ** 31,
      -(2 ** 31) - 1,
      2 ** 53,
      2 ** 53 + 2,
      -(2 ** 53),
    ],
    ...[
      2 ** 63,
      2 ** 64,
      1e21,
      1e308,
      -1e308,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
    ],
  ),
  fc.integer({ min: -5, max: 100 }),
  fc.double(),
);

/** Half a pattern, a whole one, one that reads differently elsewhere. */
const patterns = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."^$.*+?()[]{}|\\-:=!<>,0123abs\n ".split("")), maxLength: 14 }),
  fc.constantFrom(
    "^s$",
    "^s",
    "s",
    ".*",
    "",
    "(?i)s",
    "***=s",
    "\\bs\\b",
    "(?<n>s)\\k<n>",
    "[[:alpha:]]",
    "(a+)+$",
    "s{0,255}{2}",
  ),
);

const texts = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("s", "leased", "blocked", "pending", "new", "restored") },
  { weight: 3, arbitrary: patterns },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  { weight: 1, arbitrary: poison },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ..."' \" \\ ; -- /* $1 $$ %s {} {,} NULL \u001e \u0085 \u2028 \ufffe \u{10ffff} __proto__ constructor __snapshot__ __tombstone__".split(
        " ",
      ),
      "x".repeat(300),
      "é".repeat(3_000),
    ),
  },
);

const things = fc.anything({
  ...{ withBigInt: true, withDate: true, withMap: true, withSet: true, withNullPrototype: true },
  ...{ withObjectString: true, withSparseArray: true, withTypedArray: true, withBoxedValues: true },
  ...{ maxDepth: 3, maxKeys: 4 },
});

const dates = fc.oneof(
  fc.date({ noInvalidDate: false }),
  fc.constantFrom(0, 8.64e15, -8.64e15, Number.NaN, -210_866_803_200_001).map((ms) => new Date(ms)),
);

/** What JSON can't say, and what says it badly. */
const unwritable = fc.constantFrom<unknown>(
  1n,
  { n: 1n },
  { toJSON: () => "\0" },
  {
    toJSON: () => {
      throw new Error("no JSON");
    },
  },
  Object.assign([], { length: 3 }),
  JSON.parse(`${"[".repeat(3_000)}${"]".repeat(3_000)}`),
  (() => {
    const circle: Record<string, unknown> = {};
    circle.circle = circle;
    return circle;
  })(),
);

const fitting: Partial<Record<Kind, fc.Arbitrary<unknown>>> = {
  list: fc.array(
    fc.oneof(
      things,
      fc.record({ stream: texts, name: texts, data: payload }),
      fc.record({ stream: texts, by: texts, at: numbers }),
    ),
  ),
  object: fc.oneof(
    payload,
    fc.record(
      { stream: texts, source: texts, name: texts, lane: texts, blocked: fc.boolean() },
      { requiredKeys: [] },
    ),
  ),
  "object?": fc.oneof(payload, fc.dictionary(texts, things)),
  input: fc.array(texts, { maxLength: 5 }),
  "texts?": fc.array(texts, { maxLength: 5 }),
  date: dates,
  "date?": dates,
  number: numbers,
  "number?": numbers,
};

const valueFor = (kind: Kind): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 6, arbitrary: fitting[kind] ?? texts },
    { weight: 3, arbitrary: fc.oneof(texts, numbers, dates) },
    { weight: 2, arbitrary: things },
    { weight: 1, arbitrary: unwritable },
    { weight: 1, arbitrary: fc.constantFrom(null, undefined) },
    { weight: 1, arbitrary: fc.constantFrom(...wrong[kind]) },
  );

export type Call = { readonly slot: number; readonly value: unknown };

/** A place of a verb, and what is put there. */
export const call: fc.Arbitrary<Call> = fc
  .nat({ max: slots.length - 1 })
  .chain((slot) => valueFor(slots[slot]?.kind ?? "text").map((value) => ({ slot, value })));
