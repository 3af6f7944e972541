/** Names and patterns: few enough to collide all the time, odd enough to tell a pattern from a literal. */
import fc from "fast-check";

export const streams = [
  "a-1",
  "a-10",
  "A-1",
  "a_1",
  "a%1",
  "b.c",
  "bxc",
  "b+c",
  "(a|b)",
  "é-1",
  "😀-1",
  "line\nbreak",
  "constructor",
  `long-${"x".repeat(150)}`,
] as const;

/** Most steps should meet on few streams, else no state builds up. */
export const stream = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...streams.slice(0, 3)) },
  { weight: 1, arbitrary: fc.constantFrom(...streams) },
);

export const eventName = fc.constantFrom("Opened", "Closed", "opened", "Ünï", "__snapshot__", "__snapshot__");
export const lane = fc.constantFrom("default", "fast", "Fast");
export const worker = fc.constantFrom("w1", "w2", "w3");
export const correlation = fc.constantFrom("c1", "c2", "C1", "'c'");

/** A subscription's source: absent, empty (both: no constraint), a literal or a pattern. */
export const source = fc.option(
  fc.constantFrom("", "a-1", "A-1", "^a-", "^(a|b)-1$", "b.c", "-1$", ".*", "^a_1$"),
  { nil: undefined },
);

export type Pattern = {
  readonly text: string;
  /** Beyond the portable grammar: may be refused with ValidationError, must not be approximated. */
  readonly rich: boolean;
};

/** `^ $ . .*` and literals: the grammar that every adapter reads alike. */
const isPortable = (text: string) => !/[+?()[\]{}|\\]|(?<!\.)\*/.test(text);

/** A piece of a name, sometimes with a wildcard in it or an anchor where it does not belong. */
const portable = fc
  .record({
    of: stream,
    from: fc.nat({ max: 3 }),
    length: fc.nat({ max: 5 }),
    wild: fc.option(fc.record({ at: fc.nat({ max: 4 }), by: fc.constantFrom(".", ".*", "^", "$") }), {
      freq: 3,
    }),
    head: fc.constantFrom("", "", "^"),
    tail: fc.constantFrom("", "", "$"),
  })
  .map(({ of, from, length, wild, head, tail }) => {
    const start = head === "^" && length % 3 > 0 ? 0 : from;
    const end = tail === "$" && length % 2 > 0 ? of.length : start + length;
    const piece = [...of.slice(start, end)];
    if (wild) piece.splice(wild.at, 1, wild.by);
    return head + piece.join("") + tail;
  })
  // An astral character is two for RegExp and one for PostgreSQL: where dots count characters, they differ.
  .filter((text) => !/\p{Surrogate}/u.test(text) && !/[\^.]\.(?!\*)/.test(text))
  .map((text): Pattern => ({ text, rich: !isPortable(text) }));

/** PostgreSQL's regexes read each of these differently from JavaScript, or not at all. */
const rich = fc
  .constantFrom(
    "a|b",
    "^(a|A)-1$",
    "[ab]-1",
    "[^a]-1",
    "[a-c]",
    "[[:alpha:]]",
    "[]a]",
    "a{1,2}",
    "a{",
    "a{,2}",
    "1+",
    "1?$",
    "1+?",
    "\\d+$",
    "\\D",
    "\\w-\\d",
    "\\s",
    "\\bb",
    "\\ba",
    "\\Bc",
    "\\mb",
    "\\yb",
    "\\Aa",
    "1\\Z",
    "b\\.c",
    "b\\+c",
    "^\\(a",
    "\\u0061-1",
    "\\x61",
    "a-1\\n",
    "line\\n",
    "(?i)A-1",
    "(?:a|A)-1",
    "(?<=a)-1",
    "(?<!a)-1",
    "(?<n>a)-\\k<n>",
    "(a)-1\\1",
    "(?=a)",
    "***=a-1",
    "***:a",
    "(?x)a - 1",
    "a**",
    "*a",
    "(",
    "[",
    "a\\",
    "a)",
  )
  .map((text): Pattern => ({ text, rich: true }));

export const pattern = fc.oneof({ weight: 5, arbitrary: portable }, { weight: 1, arbitrary: rich });
