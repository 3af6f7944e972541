/** Patterns: what PostgreSQL answers is what RegExp would, for every pattern that is not refused. */
import { type Schemas, ValidationError } from "@rotorsoft/act";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { anything, name, pattern } from "./grammar.ts";

const fixture = useDatabase();
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const meta = { correlation: "", causation: {} };

/** One stream, one subscription and one source for each. */
const names = [...new Set(["", ...fc.sample(name, { numRuns: 400, seed })])];
let store: PostgresStore;

beforeAll(async () => {
  console.log(`patterns: SEED=${seed}`);
  store = new PostgresStore({ ...fixture.parts, max: 6 });
  await store.seed();
  await Promise.all(names.map((stream) => store.commit(stream, [{ name: "Named", data: {} }], meta)));
  await store.subscribe(names.map((stream) => ({ stream, source: stream })));
  return () => store.dispose();
});

type Reading = (text: string) => Promise<string[]>;

const byStreams: Reading = async (stream) => {
  const found: string[] = [];
  await store.query_streams((position) => found.push(position.stream), { stream, limit: 10_000 });
  return found;
};
const bySources: Reading = async (source) => {
  const found: string[] = [];
  await store.query_streams((position) => found.push(position.source ?? "none"), { source, limit: 10_000 });
  return found;
};
const byEvents: Reading = async (stream) => {
  const found: string[] = [];
  await store.query<Schemas>((event) => found.push(event.stream), { stream });
  return found;
};
const byStats: Reading = async (stream) => [...(await store.query_stats({ stream })).keys()];

const sorted = (all: readonly string[]) => [...all].sort();

function expected(text: string): string[] {
  // The framework reads an empty filter as none, and so does RegExp.
  const regExp = new RegExp(text);
  return sorted(names.filter((one) => regExp.test(one)));
}

/** Fails with what differs, which is short, instead of with both lists. */
function compare(text: string, found: readonly string[]): void {
  const wanted = expected(text);
  const missing = wanted.filter((one) => !found.includes(one));
  const surplus = found.filter((one) => !wanted.includes(one));
  expect({ text, missing: missing.slice(0, 3), surplus: surplus.slice(0, 3) }).toEqual({
    text,
    missing: [],
    surplus: [],
  });
  expect(found.length).toBe(wanted.length);
}

/** Many patterns at a time: the round trips overlap. */
const batches = (patterns: fc.Arbitrary<string>) => fc.array(patterns, { minLength: 20, maxLength: 20 });

test.each([
  ["query_streams by stream", byStreams, 30],
  ["query_streams by source", bySources, 10],
  ["query", byEvents, 15],
  ["query_stats", byStats, 10],
] as const)("%s finds the names that RegExp finds, for patterns of the grammar", async (_, read, numRuns) => {
  let refused = 0;
  const property = fc.asyncProperty(batches(pattern), async (patterns) => {
    const answers = await Promise.allSettled(patterns.map((text) => read(text)));
    answers.forEach((answer, k) => {
      const text = patterns[k] ?? "";
      if (answer.status === "fulfilled") compare(text, answer.value);
      else {
        expect(answer.reason, text).toBeInstanceOf(ValidationError);
        refused++;
      }
    });
  });
  await fc.assert(property, { seed, numRuns, endOnFailure: false });
  // Refusing is right only where the two read differently; a grammar that is refused is none.
  expect(refused).toBeLessThan(numRuns * 20 * 0.05);
});

test("whatever else is typed is refused with a ValidationError, or means what RegExp means", async () => {
  let answered = 0;
  const property = fc.asyncProperty(batches(anything), async (patterns) => {
    const answers = await Promise.allSettled(patterns.map((text) => byStreams(text)));
    answers.forEach((answer, k) => {
      const text = patterns[k] ?? "";
      if (answer.status === "rejected") expect(answer.reason, text).toBeInstanceOf(ValidationError);
      else {
        answered++;
        compare(text, answer.value);
      }
    });
  });
  await fc.assert(property, { seed, numRuns: 40, endOnFailure: false });
  expect(answered).toBeGreaterThan(40);
});

test("a name is found by itself, quoted, as a whole, as a beginning and as an end", async () => {
  const quoted = (text: string) => text.replace(/[\^$\\.*+?()[\]{}|]/g, "\\$&");
  for (const one of names.slice(0, 150)) {
    const q = quoted(one);
    const [whole, start, end, within] = await Promise.all(
      [`^${q}$`, `^${q}`, `${q}$`, q].map((text) => byStreams(text)),
    );
    expect(whole).toEqual([one]);
    expect(start).toEqual(names.filter((other) => other.startsWith(one)).sort());
    expect(end).toEqual(names.filter((other) => other.endsWith(one)).sort());
    expect(within).toEqual(names.filter((other) => other.includes(one)).sort());
  }
});

const refused = [
  ...["(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?<n>a)", "(a)\\1", "(?<n>a)\\k<n>"],
  ...["\\ba", "a\\B", "[\\b]", "a\\b.*", "^a\\b"],
  ...["(", ")", "[", "a{2,1}", "*a", "+", "a**", "\\", "(?i)a", "(?P<n>a)", "[b-a]"],
  ...["a{256}", "a{300}", "x{100000}", "(a{256}){2}"],
];

test.each(refused)(
  "%j is refused by every verb that takes a pattern, with the reason, and changes nothing",
  async (text) => {
    const before =
      await fixture.sql`select md5(string_agg(t::text, ',' order by stream)) as state from events_streams t`;
    const calls = {
      query: () => store.query(() => {}, { stream: text }),
      query_stats: () => store.query_stats({ stream: text }),
      query_streams: () => store.query_streams(() => {}, { source: text }),
      reset: () => store.reset({ stream: text }),
      unblock: () => store.unblock({ source: text }),
      defer: () => store.defer({ stream: text }, 1),
      prioritize: () => store.prioritize({ source: text }, 5),
    };
    for (const [verb, call] of Object.entries(calls)) {
      const error: unknown = await call().catch((reason: unknown) => reason);
      expect(error, verb).toBeInstanceOf(ValidationError);
      expect(error, verb).toMatchObject({ details: expect.stringMatching(/pattern/) });
    }
    const after =
      await fixture.sql`select md5(string_agg(t::text, ',' order by stream)) as state from events_streams t`;
    expect(after).toEqual(before);
  },
);

test.each([
  ["repetitions of repetitions", "(a{255}){255}"],
  ["repetitions of repetitions of repetitions", "((a{100}){100}){100}"],
  ["groups in groups", `${"(".repeat(2_000)}a${")".repeat(2_000)}`],
  ["groups in very many groups", `${"(?:".repeat(50_000)}a${")".repeat(50_000)}`],
  ["alternatives", Array.from({ length: 600 }, (_, n) => `a{${n % 250}}b`).join("|")],
])("a pattern of too many %s is refused or answered, and the next one is answered", async (_, text) => {
  const outcome: unknown = await byStreams(text).catch((reason: unknown) => reason);
  if (!Array.isArray(outcome)) expect(outcome).toBeInstanceOf(ValidationError);
  compare("^a", await byStreams("^a"));
});

test("the same pattern is read as strictly the second time, and by another option", async () => {
  for (const option of ["stream", "source", "stream"]) {
    const call = store.reset({ [option]: "\\bsame" });
    await expect(call).rejects.toMatchObject({ target: option });
  }
});

test("many different patterns cost no other its answer", async () => {
  for (let n = 0; n < 1_200; n++) await store.reset({ stream: `^absent-${n}$` });
  compare("^a", await byStreams("^a"));
});
