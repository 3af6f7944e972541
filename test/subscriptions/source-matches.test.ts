/** Which stored sources match given names: as JavaScript would match them, but without running them here. */
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

async function matching(sources: readonly string[], names: readonly string[]): Promise<string[]> {
  const store = await fixture.seeded();
  await store.subscribe(sources.map((source, i) => ({ stream: String(i).padStart(6, "0"), source })));
  const seen: string[] = [];
  await store.query_streams(({ source }) => void seen.push(source ?? ""), {
    source_matches: names as string[],
    limit: sources.length,
  });
  return seen;
}

test("sources of every form match as in JavaScript", async () => {
  const names = ["order-1", "user-22", "a.b", "x\ny", "Äpfel"];
  const sources = [
    ...["order-1", "rder", "er-2", "order-2", "1user"],
    ...["^order-1$", "^order-2$", "^order", "^rder", "order-1$", "^$", "^", "$"],
    ...[
      "^order-[0-9]+$",
      "^user-[0-9]$",
      "^(order|user)-\\d+$",
      "^a\\.b$",
      "^a.b$",
      "^x.y$",
      "^x[^a]y$",
      "pfel$",
    ],
    ...["\\border\\b", "\\bser\\b", "\\s", "y$"],
  ];
  const wanted = sources.filter((source) => names.some((name) => new RegExp(source).test(name)));
  expect(await matching(sources, names)).toEqual(wanted);
});

test("a literal that is found only across two names does not match", async () => {
  expect(await matching(["a\u001eb", "ab"], ["a", "b"])).toEqual([]);
});

test("sources that JavaScript matches in minutes leave the process responsive, and are matched exactly", async () => {
  const names = Array.from({ length: 100 }, (_, i) => `${"a".repeat(400)}${i}`);
  const sources = [".*a.*a.*a.*a.*b", "(a+)+$", "(a|aa)+x", ".*a.*a.*a.*9$"];
  let longest = 0;
  let last = performance.now();
  const ticks = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 5);
  try {
    expect(await matching(sources, names)).toEqual([".*a.*a.*a.*9$"]);
  } finally {
    clearInterval(ticks);
  }
  expect(longest).toBeLessThan(2_000);
});

test("thousands of sources and a thousand names are matched in one go", async () => {
  const names = Array.from({ length: 1_000 }, (_, i) => `order-${i}`);
  const sources = Array.from({ length: 3_000 }, (_, i) => (i % 2 ? `^order-${i}$` : `^user-${i}.*$`));
  expect(await matching(sources, names)).toHaveLength(500);
});

test("a source that matches is found behind very many that do not", async () => {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`insert into "${schema}"."${table}_streams" (stream, source)
    select lpad(g::text, 6, '0'), 'other-' || g from generate_series(1, 10000) g`);
  await store.subscribe([
    { stream: "y", source: "order-1" },
    { stream: "z", source: "^order" },
  ]);
  const seen: string[] = [];
  const query = { source_matches: ["order-1"], limit: 5 };
  const { count } = await store.query_streams(({ stream }) => void seen.push(stream), query);
  expect([count, seen]).toEqual([2, ["y", "z"]]);
});
