/**
 * What each piece of the grammar becomes, and why others are refused: translations.txt. That PostgreSQL then
 * matches what RegExp would is for patterns.test.ts. `UPDATE=1 npx vitest run test/values/translations.test.ts`
 * writes the file anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { afterPrefix, toPattern } from "../../src/values/pattern.ts";

const golden = join(import.meta.dirname, "translations.txt");

/** Lines of patterns, parted by spaces; `␠` stands for a space in one. */
const TABLE = String.raw`
abc ^abc abc$ ^abc$ ^ $ ^$ . .* ^.* ^.*$ .*abc abc.* ^abc.* ^\.* ^\\.* ^\\\.* ^abc.*? ^abc.*$ ^a.*b.* ^a.+ ^a.*+ ^.*a ^a\\.* ^a\.* ^a\\\.*
a^b a$b a$|b ^a|b ^a|^b$ (a$) (^a) ^^a a^ ^a^ $a $$ ^$$ a$$ (a)^ ^(a).* ^(?:).* ^a|b.* ^^.* ^a$.*
a-b_c a␠b é 漢 😀 ^😀$ [é] [😀] 😀* 😀{2} (😀)+ \é \😀 A0_ a%b @#~/!"'&=<>;:,
* + ? a* a+ a? a*? a+? a?? a** a+* a?+ a*{2} a{2} a{2,} a{2,3} a{2,3}? a{,3} a{x} a{ a{2 a{2, a{2,3 a{x{2} a{,{2} {2} {} a{2}{3} a{2}* a{3,2}
a{0} a{0,0} a{255} a{256} a{255,} a{256,} a{1,255} a{1,256} a{0,256}
a{${"9".repeat(44)}} a{1,${"9".repeat(44)}} a{${"9".repeat(44)} a{${"0".repeat(36)}2}
^* $+ ^{2} ${`$`}{2} ^? (^)* a|* (*a) (+) (?) |a a| | (|) ()
[a] [^a] [a-z] [^a-z0-9_] [a-] [-a] [a-c-e] [z-a] [a-a] [] [^] [a^] [^^] [a\]] [\]] [\\] [a\-z] [.] [$] [*] [␠-~] [!-/]
[\d] [\w] [\s] [\D] [\W] [\d-z] [a-\d] [\b] [\B] [\n] [\x41-\x5a] [\u0041-\u005A] [a-\n] [\t-\r] [[] [[:alpha:]] [a-😀] [&&] [.a.] [=a=]
\d \w \s \D \W \S \b \B \n \r \t \f \v \0 \1 \a \z \A \Z \y \m \M \k<a> \cA \p{L} \- \. \/ \\ \^ \$ \| \( \) \[ \] \{ \} \* \+ \? \_
\x41 \x4 \xZZ \x4G \xG1 \x \u0041 \u004 \u00zz \u1G41 \u{41} \u0000 \x00 \ud800 \ud83d\ude00 \u2028 \x41{2} \u00e9+ \x7e \x7f \x80 \xff ^\x41$
(a) (?:a) (?=a) (?!a) (?<=a) (?<!a) (?<n>a) (?i:a) (?i)a (a|b) (a|b|c)* ((a)) (a(b(c))) (?:a|(?:b)) (a)(b) (a)|b (a) (^a$) (a|^b) (?:^a)
a|b a|b|c ^a$|^b$ a.b a\.b ^a\.b$ ^a\.b ^a.b$ a(b)?c ^a(b) ^user-\d+$ ^user-.* ^(user|order)-.*$ [Uu]ser ***a (?x)a ***:a
`;

const said = (run: () => string): string => {
  try {
    return run();
  } catch (error) {
    if (error instanceof ValidationError)
      return `refused: ${error.target} ${JSON.stringify(error.payload)} ${String(error.details)}`;
    throw error;
  }
};

const translated = (pattern: string) =>
  said(() => {
    const found = toPattern("stream", pattern);
    return found.kind === "any" ? "any" : `${found.kind} ${JSON.stringify(found.text)}`;
  });

test("each piece of the grammar becomes this, or is refused for this", () => {
  const patterns = TABLE.trim()
    .split(/\s+/)
    .map((text) => text.replaceAll("␠", " "));
  const lines = ["", "\0", "\ud800", "a\n", "^a\n.*", ...patterns].map(
    (pattern) => `${JSON.stringify(pattern)} | ${translated(pattern)}`,
  );
  if (process.env.UPDATE) writeFileSync(golden, `${lines.join("\n")}\n`);
  expect(lines).toEqual(readFileSync(golden, "utf8").trimEnd().split("\n"));
});

test("hundreds of patterns are kept as they were read, then all are forgotten", () => {
  const kept = () => toPattern("stream", "^kept.[ab]$");
  const first = kept();
  let others = 0;
  // Others may have been read before: the next forgetting comes within 500.
  while (kept() === first && others <= 501) toPattern("stream", `other.${others++}`);
  expect(others).toBeLessThanOrEqual(501);
  const second = kept();
  expect(second).not.toBe(first);
  expect(second).toEqual(first);
  // With the one that made them forgotten, 500.
  for (let i = 0; i < 498; i++) toPattern("source", `few.${i}`);
  expect(kept()).toBe(second);
  toPattern("source", "one too many.");
  expect(kept()).not.toBe(second);
});

test("counts are added up, and refused beyond 10,000 in all", () => {
  const counts = (of: string, times: number) => toPattern("stream", `x${of.repeat(times)}`).kind;
  expect(counts("a{250}", 40)).toBe("regex");
  expect(said(() => counts("a{250}", 41))).toContain("too many counted repetitions");
  expect(counts("a{0,250}", 40)).toBe("regex");
  expect(said(() => counts("a{0,250}", 41))).toContain("too many counted repetitions");
  expect(counts("a{250,}", 40)).toBe("regex");
  expect(said(() => counts("a{250,}", 41))).toContain("too many counted repetitions");
  expect(said(() => counts("a*a{250}", 41))).toContain("too many counted repetitions");
  expect(counts("a*", 20_000)).toBe("regex");
});

test("nesting that is too deep is refused, not a crash", () => {
  const nested = (deep: number) =>
    said(() => toPattern("stream", `${"(".repeat(deep)}a${")".repeat(deep)}`).kind);
  // The pattern is too long to be shown.
  expect(nested(20_000)).toMatch(
    /^refused: stream \{"pattern":""\} the pattern uses groups nested too deep,/,
  );
  expect(nested(100_000)).toMatch(/^refused: stream .* the pattern is not a valid regular expression$/);
});

test("the end of a prefix is the first text behind all that begin with it", () => {
  expect(afterPrefix("a")).toBe("b");
  expect(afterPrefix("az")).toBe("a{");
  expect(afterPrefix("")).toBeUndefined();
  expect(afterPrefix("a".repeat(200_000))?.length).toBe(200_000);
  expect(afterPrefix("a\ud7ff")).toBe("a\ue000");
  expect(afterPrefix("a\uffff")).toBe("a\u{10000}");
  expect(afterPrefix("a\u{10ffff}")).toBe("b");
  expect(afterPrefix("\u{10ffff}\u{10ffff}")).toBeUndefined();
  expect(afterPrefix("😀")).toBe("😁");
});
