/** Patterns of the grammar that the store reads, and names that tell readings of a pattern apart. */
import fc from "fast-check";

/** Few characters, so that patterns and names meet; each has a meaning somewhere: RegExp, LIKE, arrays, SQL. */
const characters = [
  ..."abAB0_%.*\\-^$|+?()[]{},'\"/ ",
  "\n",
  "\r",
  "\t",
  "é",
  "É",
  "ß",
  "İ",
  "ı",
  "漢",
  "\u00a0",
  "\u2028",
  "\u2029",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u007f",
  "\u0001",
];
const character = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("a", "b", "A", "_", ".", "\n") },
  { weight: 3, arbitrary: fc.constantFrom(...characters) },
);

export const name = fc.array(character, { maxLength: 6 }).map((all) => all.join(""));

const hex = (char: string, length: number) => char.charCodeAt(0).toString(16).padStart(length, "0");

/** A character in one of the ways of writing it. */
const literal = fc.tuple(character, fc.constantFrom("plain", "x", "u", "class")).map(([char, way]) => {
  const escaped = /[\^$\\.*+?()[\]{}|]/.test(char) ? `\\${char}` : char;
  if (way === "u") return `\\u${hex(char, 4)}`;
  if (way === "x" && char.charCodeAt(0) < 256) return `\\x${hex(char, 2)}`;
  if (way === "class" && !/[\^\\\]-]/.test(char)) return `[${char}]`;
  return escaped;
});

const escapes = fc.constantFrom("\\d", "\\w", "\\n", "\\t", "\\r", "\\f", "\\v", "\\-", "\\/", "\\_", "\\%");

const member = fc.oneof(
  character.map((char) => (/[\^\\\]-]/.test(char) ? `\\${char}` : char)),
  fc.constantFrom("a-b", "A-Z", "0-9", "\\d", "\\w", "\\n", "-é", "!-~", "\\x61-\\x7a"),
);
const klass = fc
  .tuple(fc.boolean(), fc.array(member, { minLength: 1, maxLength: 3 }))
  .map(([negated, members]) => `[${negated ? "^" : ""}${members.join("")}]`);

const quantifier = fc.oneof(
  { weight: 4, arbitrary: fc.constant("") },
  { weight: 2, arbitrary: fc.constantFrom("*", "+", "?", "*?", "+?", "??") },
  { weight: 1, arbitrary: fc.constantFrom("{0}", "{1}", "{2}", "{1,}", "{0,2}", "{1,2}?") },
);

const { alternatives } = fc.letrec<{ alternatives: string; sequence: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 3 },
    { weight: 6, arbitrary: literal },
    { weight: 3, arbitrary: fc.constant(".") },
    { weight: 1, arbitrary: escapes },
    { weight: 1, arbitrary: klass },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom("(", "(?:"), tie("alternatives"))
        .map(([open, inner]) => `${open}${inner})`),
    },
  ),
  sequence: fc
    .array(fc.tuple(tie("atom"), quantifier), { maxLength: 4 })
    .map((atoms) => atoms.map(([atom, times]) => atom + times).join("")),
  alternatives: fc
    .array(
      fc
        .tuple(fc.constantFrom("", "", "^"), tie("sequence"), fc.constantFrom("", "", "$"))
        .map((parts) => parts.join("")),
      { minLength: 1, maxLength: 3 },
    )
    .map((all) => all.join("|")),
}));

/** The whole grammar. */
export const pattern = fc.oneof(
  { weight: 3, arbitrary: alternatives },
  // The portable part, which every adapter must read alike.
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom("", "^"),
        fc.array(
          fc.oneof({ weight: 4, arbitrary: literal }, { weight: 1, arbitrary: fc.constantFrom(".", ".*") }),
          {
            maxLength: 4,
          },
        ),
        fc.constantFrom("", "$"),
      )
      .map(([start, atoms, end]) => start + atoms.join("") + end),
  },
);

/** Anything that can be typed: most of it is no pattern of the grammar, and much no pattern at all. */
export const anything = fc
  .array(fc.constantFrom(...'aab..^$**+?()[]{}|\\\\-,123:=!<>#PpkdDwWsSbBuxn"&~_é\n'), { maxLength: 9 })
  .map((all) => all.join(""));
