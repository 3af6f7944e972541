/** Arbitrary payloads: all that JSON can say, Dates anywhere in it, and what only looks like one. */
import fc from "fast-check";

export type Payload = Record<string, unknown>;

const awkwardNumbers = fc.constantFrom(
  0,
  -1,
  0.1,
  -0.000001,
  1e21,
  1e-7,
  2 ** 31,
  -(2 ** 31) - 1,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  2 ** 53 + 2,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
);

/** JSON has no NaN and no infinity, and jsonb no negative zero. */
const number = fc
  .oneof(fc.integer(), awkwardNumbers, fc.double({ noNaN: true, noDefaultInfinity: true }))
  .map((n) => (n === 0 ? 0 : n));

const dateLike = fc.oneof(
  fc.constantFrom(
    "2024-01-31T10:20:30.000Z",
    "2024-01-31T10:20:30Z",
    "2024-01-31T10:20:30+02:00",
    "2024-01-31T10:20:30",
    "2024-02-31T10:20:30.123456Z",
    "2024-01-31",
    "10.5",
    "true",
    "null",
    "{}",
    '"',
    "\\",
    "\\u0041",
    "",
    " ",
    "\n\t\r",
    "\u007f\u0080\u2028\u2029\ufeff\uffff",
    "😀 é e\u0301 ﬁ 漢字 עברית",
    "'; drop table events; --",
    "$1 ? %s :x",
  ),
  fc.date({ noInvalidDate: true }).map((d) => d.toISOString()),
);

/** Whole characters only, and no NUL: what is refused (M6) has a step of its own. */
const character = fc
  .oneof(fc.integer({ min: 1, max: 0x24f }), fc.integer({ min: 1, max: 0x10_ffff }))
  .map((code) => (code >= 0xd800 && code <= 0xdfff ? "\ufffd" : String.fromCodePoint(code)));
const string = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: character, maxLength: 8 }) },
  { weight: 2, arbitrary: dateLike },
);

/**
 * Keys that trip a naive codec: prototypes, paths, array indexes, tags of other encodings. None has a
 * backslash: once V8 13.6 (Node 24.21) has parsed an object with the key "\\", it misreads other keys that
 * JSON escapes: `for (const k of ["\\\\", "\\\\", "\\\\", '\\"']) JSON.parse(`{"p": 0, "${k}": 0}`)` ends with
 * the key "\\" again. No adapter that parses JSON can help it.
 */
const key = fc
  .oneof(
    { weight: 3, arbitrary: fc.constantFrom("a", "b", "at", "list") },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "",
        "__proto__",
        "constructor",
        "toString",
        "length",
        "0",
        "1",
        "-1",
        "a.b",
        "a/b",
        "~0",
        "[0]",
        "*",
        "$date",
        "dates",
        '"',
        "😀",
      ),
    },
    { weight: 1, arbitrary: string },
  )
  .map((text) => text.replaceAll("\\", "/"));

/** From the first to the last instant that a JavaScript Date can hold. */
const date = fc.oneof(
  { weight: 4, arbitrary: fc.date({ noInvalidDate: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -1, 1e12, 8.64e15, -8.64e15).map((ms) => new Date(ms)) },
);

const { value } = fc.letrec<{ value: unknown; leaf: unknown }>((tie) => ({
  leaf: fc.oneof(
    { weight: 3, arbitrary: string },
    { weight: 3, arbitrary: date },
    { weight: 2, arbitrary: number },
    { weight: 1, arbitrary: fc.boolean() },
    { weight: 1, arbitrary: fc.constant(null) },
  ),
  value: fc.oneof(
    { maxDepth: 3, depthSize: "small", withCrossShrink: true },
    { weight: 4, arbitrary: tie("leaf") },
    { weight: 1, arbitrary: fc.array(tie("value"), { maxLength: 4 }) },
    { weight: 1, arbitrary: fc.dictionary(key, tie("value"), { maxKeys: 4 }) },
  ),
}));

/** What an event's `data`, a snapshot or a `pii` may hold. */
export const payload: fc.Arbitrary<Payload> = fc.dictionary(key, value, { maxKeys: 4 });

/** Text that PostgreSQL cannot store and no adapter may repair. */
export const poison = fc.constantFrom("\0", "a\0b", "\ud800", "x\udc00", "\ude00\ud83d");
