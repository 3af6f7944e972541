/** Claims of any size: few statements, and an order that holds as far as it is promised. */
import { expect, test, vi } from "vitest";
import { StoreConnections } from "../../src/postgres/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const numbered = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ stream: `s${String(i).padStart(5, "0")}`, correlated_at: 10 }));

/** The texts of the statements that the calls of `claim` have sent. */
async function textsOf(claims: () => Promise<unknown>): Promise<string[]> {
  const write = vi.spyOn(StoreConnections.prototype, "write");
  await claims();
  const texts = write.mock.calls.map(([, query]) => query.text);
  write.mockRestore();
  return texts;
}

test("claims of any limits share eight statements, and eight more where something is due", async () => {
  const store = await fixture.seeded();
  const all = async () => {
    for (const lane of [undefined, "default"])
      for (const n of [0, 1, 2, 3, 10, 16, 17, 100, 257, 1_000, 5_000, 100_000])
        for (const leading of [0, 1, 50, 20_000]) await store.claim(n, leading, "w", 0, lane);
  };
  const usual = new Set(await textsOf(all));
  expect(usual.size).toBe(8);
  await store.subscribe([{ stream: "s", correlated_at: 10 }]);
  await store.defer(["s"], Date.now() - 1);
  const more = (await textsOf(all)).filter((text) => !usual.has(text));
  expect(new Set(more).size).toBe(8);
});

test("what is due costs a claim one statement more, and the next one none, by lane", async () => {
  const store = await fixture.seeded();
  const sent = async (lane?: string) => {
    const leased: string[] = [];
    const texts = await textsOf(async () => {
      for (const { stream } of await store.claim(2, 0, "w", 0, lane)) leased.push(stream);
    });
    return { statements: texts.length, leased: leased.sort() };
  };
  await store.subscribe([
    { stream: "a", lane: "x", correlated_at: 10 },
    { stream: "b", lane: "x", correlated_at: 10 },
    { stream: "c", lane: "y", correlated_at: 10 },
  ]);
  expect(await sent("x")).toEqual({ statements: 1, leased: ["a", "b"] });
  await store.defer(["b"], Date.now() - 1);
  expect(await sent("x")).toEqual({ statements: 2, leased: ["a", "b"] });
  expect(await sent("x")).toEqual({ statements: 1, leased: ["a", "b"] });
  // In the other lane nothing is due.
  expect(await sent("y")).toEqual({ statements: 1, leased: ["c"] });
  await store.defer(["b"], Date.now() + 600_000);
  expect(await sent("x")).toEqual({ statements: 1, leased: ["a"] });
  expect(await sent("x")).toEqual({ statements: 1, leased: ["a"] });
});

test("with something due, what is not takes its place by priority all the same", async () => {
  const store = await fixture.seeded();
  await store.subscribe([
    { stream: "low", priority: 1, correlated_at: 10 },
    { stream: "due", priority: 5, correlated_at: 10 },
    { stream: "high", priority: 9, correlated_at: 10 },
  ]);
  await store.defer(["due"], Date.now() - 1);
  for (const expected of ["high", "due", "low"])
    expect((await store.claim(1, 0, "w", 60_000)).map(({ stream }) => stream)).toEqual([expected]);
});

test.each([1, 2, 16, 17, 300])("a claim of %i takes so many, each once, and locks no other", async (n) => {
  const store = await fixture.seeded();
  await store.subscribe(numbered(700));
  const first = await store.claim(n, n, "a", 60_000);
  expect(new Set(first.map(({ stream }) => stream)).size).toBe(first.length);
  expect(first.filter(({ lagging }) => lagging)).toHaveLength(n);
  const rest = await store.claim(700, 0, "b", 60_000);
  expect(rest).toHaveLength(700 - first.length);
});

test("a claim of thousands takes the fair share from those that are left", async () => {
  const store = await fixture.seeded();
  await store.subscribe(numbered(6_000));
  const leases = await store.claim(5_000, 0, "w", 60_000);
  expect(new Set(leases.map(({ stream }) => stream)).size).toBe(5_000);
});

test("those due at once are taken by priority, whenever they became due", async () => {
  const store = await fixture.seeded();
  const all = numbered(256).map((entry, i) => ({ ...entry, priority: i }));
  await store.subscribe(all);
  for (const [i, { stream }] of all.entries())
    if (i % 32 === 0) await store.defer([stream], Date.now() - 60_000 + i);
  await store.defer(
    all.filter((_, i) => i % 32 !== 0).map(({ stream }) => stream),
    Date.now() - 30_000,
  );
  const leases = await store.claim(1, 0, "w", 60_000);
  expect(leases.map(({ stream }) => stream)).toEqual([all.at(-1)?.stream]);
});

test("of more than 320, those that have been due longest go first, and all are taken in the end", async () => {
  const store = await fixture.seeded();
  const [longest, count] = [400, 700];
  const all = numbered(count);
  const names = all.map(({ stream }) => stream);
  await store.subscribe(all.map((entry, i) => ({ ...entry, priority: i })));
  await store.defer(names.slice(0, longest), Date.now() - 60_000);
  await store.defer(names.slice(longest), Date.now() - 30_000);
  const [first] = await store.claim(1, 0, "w", 60_000);
  expect(names.indexOf(String(first?.stream))).toBeLessThan(longest);
  let taken = 1;
  for (;;) {
    const leases = await store.claim(16, 0, "w", 60_000);
    if (leases.length === 0) break;
    taken += leases.length;
  }
  expect(taken).toBe(count);
});
