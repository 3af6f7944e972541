/** The checkpoint of correlation and the lease on it. */
import type { Store } from "@rotorsoft/act";
import { expect } from "vitest";
import { eventually } from "./kit/eventually.ts";
import { tablesOf } from "./kit/postgres.ts";
import { append, MINUTE, pending, positions, streamsOf } from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

type Call = { key?: string; by?: string; millis?: number; at?: number };

const correlate = (store: Store, { key = "k", by = "w1", millis = MINUTE, at }: Call) =>
  store.subscribe([], at, { key, by, millis });

const correlating = async (store: Store, call: Call) => (await correlate(store, call)).correlating;
const checkpoint = async (store: Store, call: Call) => (await correlate(store, call)).correlated_at;

export const correlator = section("correlator", (line) => {
  line("S6", "the shared checkpoint starts at −1 and persists only greater values", async ({ store }) => {
    const seen: number[] = [];
    for (const at of [undefined, -5, 0, 7, 3, 7, undefined, 8]) {
      seen.push((await store.subscribe([], at)).correlated_at);
    }
    expect(seen).toEqual([-1, -1, 0, 7, 7, 7, 7, 8]);
  });

  line("S6", "a checkpoint beyond 2³¹ is kept", async ({ store }) => {
    await store.subscribe([], 2 ** 33);
    expect((await store.subscribe([])).correlated_at).toBe(2 ** 33);
    expect(await checkpoint(store, {})).toBe(2 ** 33);
  });

  line("S6", "a key's checkpoint persists only greater values", async ({ store }) => {
    const seen: number[] = [];
    for (const at of [undefined, 4, 2, 0, undefined, 9]) seen.push(await checkpoint(store, { at }));
    expect(seen).toEqual([-1, 4, 4, 4, 4, 9]);
  });

  line("S6", "the shared checkpoint is the maximum of all keys", async ({ store }) => {
    await correlate(store, { key: "a", at: 5 });
    expect((await store.subscribe([])).correlated_at).toBe(5);
    await correlate(store, { key: "b", at: 9 });
    await correlate(store, { key: "a", at: 7 });
    expect((await store.subscribe([])).correlated_at).toBe(9);
    await store.subscribe([], 30);
    await correlate(store, { key: "a", at: 12 });
    expect((await store.subscribe([])).correlated_at).toBe(30);
  });

  line(
    "S6",
    "a new key starts at the greater of the shared checkpoint and its argument",
    async ({ store }) => {
      await store.subscribe([], 10);
      expect(await checkpoint(store, { key: "without" })).toBe(10);
      expect(await checkpoint(store, { key: "below", at: 4 })).toBe(10);
      expect(await checkpoint(store, { key: "above", at: 25 })).toBe(25);
    },
  );

  line("S6", "a key that exists goes its own way", async ({ store }) => {
    await correlate(store, { key: "a", at: 10 });
    await correlate(store, { key: "b", at: 50 });
    await store.subscribe([], 70);
    expect(await checkpoint(store, { key: "a" })).toBe(10);
    expect(await checkpoint(store, { key: "a", at: 20 })).toBe(20);
    expect(await checkpoint(store, { key: "b" })).toBe(50);
  });

  line("S6", "the loser of a lease advances its key and the shared checkpoint", async ({ store }) => {
    await correlate(store, { by: "w1", at: 5 });
    const lost = await correlate(store, { by: "w2", at: 8 });
    expect(lost).toMatchObject({ correlating: false, correlated_at: 8 });
    expect(await checkpoint(store, { by: "w1" })).toBe(8);
    expect((await store.subscribe([])).correlated_at).toBe(8);
  });

  line("S6", "any text is a key of its own", async ({ store }) => {
    for (const key of ["A", "a", "a_b", "a%b", "ключ", "k".repeat(200), "x'y\"z"]) {
      expect(await correlating(store, { key })).toBe(true);
      expect(await correlating(store, { key, by: "w2" })).toBe(false);
    }
  });

  line("S6", "no stream verb sees the checkpoint", async ({ store }) => {
    await store.subscribe([], 40);
    await correlate(store, { key: "a", at: 50 });
    expect(await positions(store)).toEqual([]);
    expect((await store.subscribe([])).watermark).toBe(-1);
    expect(await store.claim(10, 10, "w", MINUTE)).toEqual([]);
    expect(await store.reset({})).toBe(0);
    expect(await store.defer({}, 1)).toBe(0);
    expect(await store.unblock({})).toBe(0);
    expect(await store.prioritize({}, 3)).toBe(0);
    expect(await store.reset(["", "a"])).toBe(0);
    expect((await store.subscribe([])).correlated_at).toBe(50);
  });

  line("S6", "stream verbs leave the checkpoint alone", async ({ store }) => {
    await pending(store, "s");
    await correlate(store, { key: "a", at: 50 });
    await store.reset({});
    await append(store, "s", "A");
    await store.truncate([{ stream: "s" }]);
    expect(await checkpoint(store, { key: "a" })).toBe(50);
  });

  line("S6", "the row '' of its own table holds the maximum", { needs: ["sql"] }, async ({ store, raw }) => {
    await store.subscribe([], 3);
    await correlate(store, { key: "a", at: 11 });
    await correlate(store, { key: "b", at: 7 });
    const rows = await raw.sql`select key, at::float8 from ${tablesOf(raw).correlated} order by key`;
    expect([...rows]).toEqual([
      { key: "", at: 11 },
      { key: "a", at: 11 },
      { key: "b", at: 11 },
    ]);
  });

  line("S6", "targets and checkpoint are written by one call", async ({ store }) => {
    const result = await store.subscribe([{ stream: "a", correlated_at: 6 }], 6, {
      key: "k",
      by: "w1",
      millis: MINUTE,
    });
    expect(result).toEqual({ subscribed: 1, watermark: -1, correlated_at: 6, correlating: true });
    expect(streamsOf(await positions(store))).toEqual(["a"]);
  });

  line("S6", "targets are written for the loser of the lease too", async ({ store }) => {
    await correlate(store, { by: "w1" });
    const lost = await store.subscribe([{ stream: "a", correlated_at: 6 }], 6, {
      key: "k",
      by: "w2",
      millis: MINUTE,
    });
    expect(lost).toEqual({ subscribed: 1, watermark: -1, correlated_at: 6, correlating: false });
    expect(await positions(store)).toMatchObject([{ stream: "a", correlated_at: 6 }]);
  });

  line("S7", "a free lease is granted, and refused to another", async ({ store }) => {
    expect(await correlating(store, { by: "w1" })).toBe(true);
    expect(await correlating(store, { by: "w2" })).toBe(false);
  });

  line("S7", "the holder renews by the same call", async ({ store }) => {
    expect(await correlating(store, { by: "w1", millis: 400 })).toBe(true);
    expect(await correlating(store, { by: "w1", millis: MINUTE })).toBe(true);
    expect(await correlating(store, { by: "w1" })).toBe(true);
    expect(await correlating(store, { by: "w2" })).toBe(false);
  });

  line("S7", "an expired lease goes to whoever asks", async ({ store }) => {
    expect(await correlating(store, { by: "w1", millis: 800 })).toBe(true);
    expect(await correlating(store, { by: "w2" })).toBe(false);
    await eventually(() => correlating(store, { by: "w2" }));
    expect(await correlating(store, { by: "w1" })).toBe(false);
  });

  for (const millis of [0, -1]) {
    line("S7", `the holder releases with ${millis} milliseconds, and is told true`, async ({ store }) => {
      await correlate(store, { by: "w1" });
      expect(await correlating(store, { by: "w1", millis })).toBe(true);
      expect(await correlating(store, { by: "w2" })).toBe(true);
    });

    line("S7", `another's release with ${millis} milliseconds releases nothing`, async ({ store }) => {
      await correlate(store, { by: "w1" });
      expect(await correlating(store, { by: "w2", millis })).toBe(false);
      expect(await correlating(store, { by: "w3" })).toBe(false);
      expect(await correlating(store, { by: "w1" })).toBe(true);
    });
  }

  line("S7", "releasing twice, or what was never held, is harmless", async ({ store }) => {
    expect(await correlating(store, { by: "w1", millis: 0 })).toBe(true);
    expect(await correlating(store, { by: "w1", millis: 0 })).toBe(true);
    expect(await correlating(store, { by: "w2" })).toBe(true);
  });

  line("S7", "a release keeps the checkpoint", async ({ store }) => {
    await correlate(store, { by: "w1", at: 8 });
    await correlate(store, { by: "w1", millis: 0 });
    expect(await checkpoint(store, { by: "w2" })).toBe(8);
  });

  line("S7", "keys are leased independently", async ({ store }) => {
    expect(await correlating(store, { key: "a", by: "w1" })).toBe(true);
    expect(await correlating(store, { key: "b", by: "w2" })).toBe(true);
    expect(await correlating(store, { key: "A", by: "w3" })).toBe(true);
    expect(await correlating(store, { key: "a", by: "w2" })).toBe(false);
  });

  line("S7", "of twenty that ask at once, one holds the lease", async ({ store }) => {
    for (const key of ["a", "b", "c"]) {
      const asked = Array.from({ length: 20 }, (_, n) => correlating(store, { key, by: `w${n}` }));
      expect((await Promise.all(asked)).filter(Boolean)).toEqual([true]);
    }
  });

  line(
    "S7",
    "of two processes that ask at once, one holds the lease",
    { needs: ["shared"] },
    async (fixture) => {
      const { store, second } = fixture;
      const other = await second();
      for (let round = 0; round < 15; round++) {
        const asked = [
          correlating(store, { key: `k${round}`, by: "w1" }),
          correlating(other, { key: `k${round}`, by: "w2" }),
        ];
        expect((await Promise.all(asked)).filter(Boolean)).toEqual([true]);
      }
    },
  );

  line(
    "S7",
    "an expired lease goes to one of two processes",
    { needs: ["shared"] },
    async ({ store, second }) => {
      const other = await second();
      await correlate(store, { by: "w1", millis: 1 });
      const granted = await eventually(async () => {
        const asked = [correlating(store, { by: "w2" }), correlating(other, { by: "w3" })];
        return (await Promise.all(asked)).filter(Boolean).length;
      });
      expect(granted).toBe(1);
    },
  );

  line("S7", "a lease that can't be decided is not granted", { needs: ["sql"] }, async ({ store, raw }) => {
    await raw.sql`drop table ${tablesOf(raw).correlated}`;
    await expect(correlate(store, {})).rejects.toThrow();
  });

  line("S7", "a renewal lasts as long as it says, not as the grant did", async ({ store }) => {
    for (const key of ["k", "probe"]) await correlate(store, { key, millis: 300 });
    await correlate(store, { key: "k", millis: MINUTE });
    await eventually(() => correlating(store, { key: "probe", by: "w2" }));
    expect(await correlating(store, { key: "k", by: "w2" })).toBe(false);
  });
});
