/** Claims of any size: few statements, and an order that holds as far as it is promised. */
import { expect, test, vi } from "vitest";
import { Database } from "../../src/postgres/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const numbered = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ stream: `s${String(i).padStart(5, "0")}`, correlated_at: 10 }));

test("claims of any limits share eight statements", async () => {
  const store = await fixture.seeded();
  const write = vi.spyOn(Database.prototype, "write");
  for (const lane of [undefined, "default"])
    for (const n of [0, 1, 2, 3, 10, 16, 17, 100, 257, 1_000, 5_000, 100_000])
      for (const leading of [0, 1, 50, 20_000]) await store.claim(n, leading, "w", 1, lane);
  const texts = new Set(write.mock.calls.map(([, query]) => query.text));
  write.mockRestore();
  expect(texts.size).toBe(8);
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
