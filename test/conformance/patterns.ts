/** What `stream` and `source` patterns mean, with JavaScript's RegExp as the oracle. */
import { type Store, ValidationError } from "@rotorsoft/act";
import fc from "fast-check";
import { expect } from "vitest";
import { append, at, blocked, positions, read, streamsOf } from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const words = (text: string) => text.split(/\s+/).filter(Boolean);

/** Names that tell the readings of a pattern apart. */
const NAMES = [
  ...words(String.raw`order-1 order-10 order-2x Order-1 ORDER order my-order-1 orde orderx-1 n0 1 n s-1
    a.b axb a_b a%b a\b a+b a*b a?b a|b a$b a^b a/b a-b ab (a) [a] {a} a{2} aa ^a a$ a b A _ % $ ^ . \
    ***a (?i)a ünï-1 UNI 日本-1 é`),
  ...["e\u0301", "a b", "a\nb", "a\n", "\na", "a\tb", "x".repeat(160), "s-1\u00a0"],
];

/** `^ $ . .*` and literals: every adapter must read these alike. */
const PORTABLE = [
  ...words(`^order-1$ ^order-1 ^order order-1$ order rder- ^O ORDER$ 1$ ^1 - x ^a.b$ a.b ^a. .b$ ^.$ ^..$ ...
    ^a.*b$ a.*b .* ^.* .*$ ^.*$ ^.*-1$ ^ $ ^$ . _ % ^_ ^% a_b a%b ^a_b$ ^a% %$ _$ ^_$ ^a_.* -.*1 ü ^ü ^日本
    本-1$ ^é$ / ^absent`),
  ...["a b", " ", "^a b$", "x".repeat(160), `^${"x".repeat(160)}$`],
];

/** Richer than the portable grammar: as JavaScript reads it, or refused. */
const RICH = [
  ...words(String.raw`^ab* ^ab? ^orderx?-1 ^orderx*-1$ ^order-1|^Order a|x ^(order|Order)-1$ ^a|b$ a+
    (?:order)-1 (?=order) ^(?!order) (?<=order-)1 (?<!order-)1 (?<n>a).b (a)\1 (|a) () (?:) (?:^a) a(?=\nb)
    \border \Brder \d \D ^\w+-\d+$ \W \s \S\s \. a\.b a\+b a\|b \^ \$ a\$$ \\ \/ \- \_ \% \(a\) \[ \{ \} \] \? \*
    \x61 \u0061 \u{61} \cJ \n a\nb \t \0 \1 \a \e \A \Z \m \M \y \Y \Aorder order\Z \yorder \morder \B1 \p{L}
    \k<n> \8 \q [ab] [^a-z] [.] [a-] [-a] [\]] []a] [] [^] [\d] [\w-]+$ [\b] [^\n]b [[:alpha:]] [[:digit:]]
    [[=a=]] [[.a.]] [[:<:]]a [\s\S] [A-z] [a-c]b$ [(]a[)] a{1} a{2} ^a{1,2}$ a{,2} a{ {a} { } ] a{1 ^.{3}$ .*?b
    (^)*a ($)* (?:^|a)+b (a*)* (a?)?? (a|ab)(c|_)* ^$|a ^a| ^(?:a.b)$ a.?b a(.b)? [a\-z] [\x61-\x63]+ [^\W] [\D]
    [^\d-] [a-\d] a{0} a{0,0}b a{1,} ^.{0,3}$ [!-~] [--/] [^é] \u00e9 x{100,} x{256} (x{20}){8} (x*){9} \x5c
    ^a\.* ^a\\.* ^a.*b.* ^[a].* ^a|b.* ^(a|b).* ^a.?.* ^.*a.* ^a.*? ^a+.* ^[.]* a.*|^b.* ^ab$|^a$ (^ab$)
    a+? a?? x{160} $a a^b ^^a a$$ (^a|b$) a||b ^(a|ab)(b|)$ # a#b`),
];

/** No RegExp at all. */
const INVALID = words(String.raw`( ) [ [a * + ? *a ^* a** a++ a{1}{2} a{2,1} [b-a] \ (? (?P<n>a)
  *** ***=order ***:order (?i)order (?x)order (?#comment)a (?<n>a)(?<n>b) (?<1>a) (?<=*)`);

type Reading = string[] | "refused";

/** What a store makes of a pattern: the names it matches, in order, or that it refuses. */
type Reader = (pattern: string) => Promise<string[]>;

async function reading(read: Reader, pattern: string): Promise<Reading> {
  try {
    return [...new Set(await read(pattern))].sort();
  } catch (error) {
    if (error instanceof ValidationError) return "refused";
    throw new Error(`${pattern}: neither matched nor refused`, { cause: error });
  }
}

function isRegExp(pattern: string): boolean {
  try {
    return RegExp(pattern) instanceof RegExp;
  } catch {
    return false;
  }
}

const oracle = (pattern: string): string[] => NAMES.filter((name) => RegExp(pattern).test(name)).sort();

/** Where a store's reading of the patterns is not the oracle's. */
async function disagreements(patterns: readonly string[], read: Reader, refusable: boolean) {
  const found: Array<
    { pattern: string; missing: string[]; surplus: string[] } | { pattern: string; refused: true }
  > = [];
  for (const pattern of patterns) {
    const got = await reading(read, pattern);
    const expected = oracle(pattern);
    if (got === "refused") {
      if (!refusable) found.push({ pattern, refused: true });
      continue;
    }
    const missing = expected.filter((name) => !got.includes(name));
    const surplus = got.filter((name) => !expected.includes(name));
    if (missing.length || surplus.length) found.push({ pattern, missing, surplus });
  }
  return found;
}

/** Every verb that takes a pattern, as a reader of patterns over NAMES. */
const readers: Array<[where: string, prepare: (store: Store) => Promise<Reader>]> = [
  [
    "query",
    async (store) => {
      for (const name of NAMES) await append(store, name, "A");
      return async (stream) => streamsOf(await read(store, { stream }));
    },
  ],
  [
    "query_stats",
    async (store) => {
      for (const name of NAMES) await append(store, name, "A");
      return async (stream) => [...(await store.query_stats({ stream })).keys()];
    },
  ],
  [
    "the stream filter of query_streams",
    async (store) => {
      await store.subscribe(NAMES.map((stream) => ({ stream })));
      return async (stream) => streamsOf(await positions(store, { stream, limit: 1_000 }));
    },
  ],
  [
    "the source filter of query_streams",
    async (store) => {
      await store.subscribe([{ stream: "all" }, ...NAMES.map((source, n) => ({ stream: `s${n}`, source }))]);
      return async (source) =>
        (await positions(store, { source, limit: 1_000 })).map((row) => row.source ?? "no source");
    },
  ],
  [
    "the stream filter of prioritize",
    async (store) => {
      await store.subscribe(NAMES.map((stream) => ({ stream })));
      let priority = 0;
      return async (stream) => {
        priority += 1;
        await store.prioritize({ stream }, priority);
        return streamsOf(
          (await positions(store, { limit: 1_000 })).filter((row) => row.priority === priority),
        );
      };
    },
  ],
  [
    "the source filter of defer",
    async (store) => {
      await store.subscribe([{ stream: "all" }, ...NAMES.map((source, n) => ({ stream: `s${n}`, source }))]);
      let due = Date.now() + 3_600_000;
      return async (source) => {
        due += 1;
        await store.defer({ source }, due);
        const deferred = (await positions(store, { limit: 1_000 })).filter((row) => row.deferred_at === due);
        return deferred.map((row) => row.source ?? "no source");
      };
    },
  ],
  [
    "the stream filter of reset",
    async (store) => {
      await store.subscribe(NAMES.map((stream) => ({ stream })));
      return async (stream) => {
        await store.defer(NAMES, Date.now() + 3_600_000);
        await store.reset({ stream });
        return streamsOf(
          (await positions(store, { limit: 1_000 })).filter((row) => row.deferred_at === undefined),
        );
      };
    },
  ],
];

export const patterns = section("pattern grammar", (line) => {
  for (const [where, prepare] of readers) {
    line(
      "Q8",
      `anchors, dots and literals mean in ${where} what they mean in JavaScript`,
      async ({ store }) => {
        expect(await disagreements(PORTABLE, await prepare(store), false)).toEqual([]);
      },
    );

    line("Q8", `in ${where} a richer pattern matches as in JavaScript or is refused`, async ({ store }) => {
      expect(await disagreements(RICH, await prepare(store), true)).toEqual([]);
    });

    line(
      "Q8",
      `in ${where} a pattern that is no RegExp is refused with a ValidationError`,
      async ({ store }) => {
        const reader = await prepare(store);
        const readings = await Promise.all(
          INVALID.map(async (pattern) => [
            pattern,
            await reading(reader, pattern).catch(() => "failed otherwise"),
          ]),
        );
        expect(readings).toEqual(INVALID.map((pattern) => [pattern, "refused"]));
      },
    );
  }

  line("Q8", "patterns and names at random match as in JavaScript or are refused", async ({ store }) => {
    const pieces = words(
      String.raw`a a b A 1 _ % - é . . .* ^ $ * + ? | ( ) (?: [ab] [^a] [a-z_] \d \w \. \- {2} {1,}`,
    );
    const letters = ["a", "b", "A", "1", "_", "%", "-", "é", ".", "\n", "$"];
    const name = fc
      .array(fc.constantFrom(...letters), { minLength: 1, maxLength: 5 })
      .map((all) => all.join(""));
    const pattern = fc
      .array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 6 })
      .map((all) => all.join(""));
    const names = [...new Set(fc.sample(name, { numRuns: 150, seed: 7 }))];
    await store.subscribe(names.map((stream) => ({ stream })));
    const reader: Reader = async (stream) => streamsOf(await positions(store, { stream, limit: 1_000 }));
    await fc.assert(
      fc.asyncProperty(pattern.filter(isRegExp), async (each) => {
        const expected = names.filter((one) => RegExp(each).test(one)).sort();
        expect([expected, "refused"]).toContainEqual(await reading(reader, each));
      }),
      { numRuns: 300 },
    );
  });

  line("Q8", "unblock reads patterns as the other filter verbs do", async ({ store }) => {
    for (const stream of ["order-1", "order-10", "Order-1", "a_b", "axb"]) await blocked(store, stream);
    const stillBlocked = async () => streamsOf(await positions(store, { blocked: true }));
    expect(await store.unblock({ stream: "a_b" })).toBe(1);
    expect(await store.unblock({ stream: "^order-1$" })).toBe(1);
    expect(await stillBlocked()).toEqual(["Order-1", "axb", "order-10"]);
    expect(await store.unblock({ stream: "^a.b$" })).toBe(1);
    await expect(store.unblock({ stream: "^***:o" })).rejects.toBeInstanceOf(Error);
    expect(await stillBlocked()).toEqual(["Order-1", "order-10"]);
  });

  line("Q8", "an invalid pattern is refused even where nothing is asked for", async ({ store }) => {
    const refused = { name: "ERR_VALIDATION" };
    for (const stream of ["(", "["]) {
      await expect(store.query(() => {}, { stream, names: [] })).rejects.toMatchObject(refused);
      await expect(store.query_stats({ stream }, { limit: 0 })).rejects.toMatchObject(refused);
      await expect(store.query_streams(() => {}, { stream, limit: 0 })).rejects.toMatchObject(refused);
    }
  });

  line("Q8", "a refused pattern changes nothing", async ({ store }) => {
    await store.subscribe([{ stream: "order-1" }]);
    const [before] = await positions(store);
    await store.reset({ stream: "(" }).catch(() => undefined);
    await store.prioritize({ stream: "[" }, 5).catch(() => undefined);
    await store.defer({ source: "*" }, Date.now() + 60_000).catch(() => undefined);
    expect(await positions(store)).toEqual([before]);
  });

  line(
    "Q8",
    "a dot stands for a whole character or for a code unit, never for less or more",
    async ({ store }) => {
      // The port says "any single character", RegExp without the flag u reads code units: 😀 is one or two.
      const names = ["😀", "a😀b", "a日b", "ab", "a", "日"];
      for (const name of names) await append(store, name, "A");
      const reader: Reader = async (stream) => streamsOf(await read(store, { stream }));
      for (const pattern of [
        "^.$",
        "^..$",
        "^a.b$",
        "^a..b$",
        "^a.*b$",
        "^.*$",
        "😀",
        "^😀$",
        "^a😀",
        "日$",
      ]) {
        const readings = ["u", ""].map((flags) =>
          names.filter((name) => RegExp(pattern, flags).test(name)).sort(),
        );
        expect([...readings, "refused"], pattern).toContainEqual(await reading(reader, pattern));
      }
    },
  );

  line(
    "Q9",
    "an anchored literal matches what its RegExp matches, whatever its characters",
    async ({ store }) => {
      const names = [
        "a",
        "ab",
        "a_",
        "a_b",
        "axb",
        "a%",
        "a%b",
        "A",
        "Ab",
        "a\uffff",
        "a\uffffb",
        "b",
        "日",
        "日本",
        "aé",
      ];
      for (const name of names) await append(store, name, "A");
      for (const literal of ["a", "a_", "a%", "A", "a\uffff", "日", "aé", "absent", "b"]) {
        for (const pattern of [`^${literal}`, `^${literal}$`]) {
          const expected = names.filter((name) => RegExp(pattern).test(name));
          expect(streamsOf(await read(store, { stream: pattern })), pattern).toEqual(expected);
          expect([...(await store.query_stats({ stream: pattern })).keys()], pattern).toEqual(
            [...expected].sort(),
          );
        }
      }
    },
  );

  line("Q9", "what follows an anchored literal still counts", async ({ store }) => {
    for (const name of ["order", "order-1", "orderx", "ordex", "orde", "other", "Order"])
      await append(store, name, "A");
    const reader: Reader = async (stream) => streamsOf(await read(store, { stream }));
    for (const pattern of [
      "^orderx*",
      "^orderx?$",
      "^order|^other",
      "^orde(r|x)",
      "^order-{1}1",
      "^order.",
    ]) {
      const expected = ["order", "order-1", "orderx", "ordex", "orde", "other", "Order"]
        .filter((name) => RegExp(pattern).test(name))
        .sort();
      expect([expected, "refused"], pattern).toContainEqual(await reading(reader, pattern));
    }
    expect(await reading(reader, "^order$")).toEqual([at(["order"], 0)]);
  });
});
