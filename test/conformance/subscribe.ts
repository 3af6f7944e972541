import { expect } from "vitest";
import { tablesOf } from "./kit/postgres.ts";
import {
  append,
  arrange,
  blocked,
  claimAll,
  leaseOf,
  MINUTE,
  pending,
  positionOf,
  positions,
  streamsOf,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

export const subscribe = section("subscribe", (line) => {
  line("S1", "subscribing to nothing is legal and tells the initial state", async ({ store }) => {
    expect(await store.subscribe([])).toEqual({ subscribed: 0, watermark: -1, correlated_at: -1 });
  });

  line("S1", "subscribed counts the new rows only", async ({ store }) => {
    expect((await store.subscribe([{ stream: "a" }, { stream: "b" }])).subscribed).toBe(2);
    expect((await store.subscribe([{ stream: "b" }, { stream: "c" }])).subscribed).toBe(1);
    expect((await store.subscribe([{ stream: "a" }, { stream: "b" }, { stream: "c" }])).subscribed).toBe(0);
  });

  line("S1", "subscribing again changes nothing", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 7, source: "src", priority: 3, lane: "fast" }]);
    await leaseOf(store, "a");
    const before = await positionOf(store, "a");
    await store.subscribe([{ stream: "a", source: "src", priority: 3, lane: "fast" }]);
    expect(await positionOf(store, "a")).toEqual(before);
  });

  line("S1", "watermark is the highest of all subscriptions, −1 without any progress", async ({ store }) => {
    expect((await store.subscribe([{ stream: "a" }])).watermark).toBe(-1);
    await arrange(store, [
      { stream: "a", at: 12 },
      { stream: "b", at: 40 },
      { stream: "c", at: 0 },
    ]);
    expect((await store.subscribe([])).watermark).toBe(40);
    expect((await store.subscribe([{ stream: "d" }])).watermark).toBe(40);
  });

  line("S1", "watermark follows a reset down", async ({ store }) => {
    await arrange(store, [
      { stream: "a", at: 12 },
      { stream: "b", at: 40 },
    ]);
    await store.reset(["b"]);
    expect((await store.subscribe([])).watermark).toBe(12);
  });

  line("S1", "watermark counts a blocked subscription too", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 9 }]);
    await blocked(store, "a");
    expect((await store.subscribe([])).watermark).toBe(9);
  });

  line("S1", "correlating is answered only when a correlator asks", async ({ store }) => {
    expect(await store.subscribe([{ stream: "a" }])).not.toHaveProperty("correlating");
    const asked = await store.subscribe([], undefined, { key: "k", by: "w", millis: MINUTE });
    expect(asked.correlating).toBe(true);
  });

  line(
    "S1",
    "processes that subscribe to one stream at once add it once",
    { needs: ["shared"] },
    async (fixture) => {
      const stores = [fixture.store, await fixture.second(), await fixture.second()];
      for (let round = 0; round < 10; round++) {
        const results = await Promise.all(stores.map((store) => store.subscribe([{ stream: `s${round}` }])));
        expect(results.reduce((sum, { subscribed }) => sum + subscribed, 0)).toBe(1);
      }
    },
  );

  line("S1", "a new subscription starts at the beginning, free, with the defaults", async ({ store }) => {
    await store.subscribe([{ stream: "a" }]);
    const row = await positionOf(store, "a");
    expect(row).toMatchObject({ stream: "a", at: -1, retry: -1, blocked: false, error: "", priority: 0 });
    expect(row.lane).toBe("default");
    for (const absent of ["source", "leased_by", "leased_until", "deferred_at", "correlated_at"] as const) {
      expect(row[absent], absent).toBeUndefined();
    }
  });

  line("S2", "the source is fixed when the subscription is made", async ({ store }) => {
    await store.subscribe([{ stream: "with", source: "first" }, { stream: "without" }]);
    await store.subscribe([{ stream: "with", source: "second", priority: 9 }]);
    await store.subscribe([{ stream: "without", source: "late", priority: 9 }]);
    await store.subscribe([{ stream: "with" }]);
    expect((await positionOf(store, "with")).source).toBe("first");
    expect((await positionOf(store, "without")).source).toBeUndefined();
  });

  line("S2", "the priority only rises", async ({ store }) => {
    const priorities: number[] = [];
    for (const priority of [3, 1, 7, 0, -4, 7]) {
      await store.subscribe([{ stream: "a", priority }]);
      priorities.push((await positionOf(store, "a")).priority);
    }
    expect(priorities).toEqual([3, 3, 7, 7, 7, 7]);
  });

  line("S2", "negative priorities are stored, and rise too", async ({ store }) => {
    const priorities: number[] = [];
    for (const priority of [-5, -9, -2, undefined]) {
      await store.subscribe([{ stream: "a", priority }]);
      priorities.push((await positionOf(store, "a")).priority);
    }
    expect(priorities).toEqual([-5, -5, -2, 0]);
  });

  line("S2", "the extremes of a 32-bit integer are priorities", async ({ store }) => {
    await store.subscribe([
      { stream: "high", priority: 2_147_483_647 },
      { stream: "low", priority: -2_147_483_648 },
    ]);
    expect((await positionOf(store, "high")).priority).toBe(2_147_483_647);
    expect((await positionOf(store, "low")).priority).toBe(-2_147_483_648);
  });

  line("S3", "an equal or higher priority sets the lane", async ({ store }) => {
    await store.subscribe([{ stream: "a", lane: "slow", priority: 1 }]);
    await store.subscribe([{ stream: "a", lane: "equal", priority: 1 }]);
    expect((await positionOf(store, "a")).lane).toBe("equal");
    await store.subscribe([{ stream: "a", lane: "higher", priority: 2 }]);
    expect((await positionOf(store, "a")).lane).toBe("higher");
  });

  line("S3", "a lower priority leaves the lane", async ({ store }) => {
    await store.subscribe([{ stream: "a", lane: "slow", priority: 1 }]);
    await store.subscribe([{ stream: "a", lane: "fast", priority: 0 }]);
    await store.subscribe([{ stream: "a", lane: "fast" }]);
    await store.subscribe([{ stream: "a", lane: "fast", priority: -1 }]);
    expect(await positionOf(store, "a")).toMatchObject({ lane: "slow", priority: 1 });
  });

  line("S3", "an omitted lane means the default lane", async ({ store }) => {
    await store.subscribe([{ stream: "a", lane: "slow" }]);
    await store.subscribe([{ stream: "a" }]);
    expect((await positionOf(store, "a")).lane).toBe("default");
  });

  line("S3", "the priority that prioritize set decides about the lane", async ({ store }) => {
    await store.subscribe([{ stream: "a", lane: "slow", priority: 1 }]);
    await store.prioritize({ stream: "a" }, 10);
    await store.subscribe([{ stream: "a", lane: "fast", priority: 5 }]);
    expect((await positionOf(store, "a")).lane).toBe("slow");
    await store.subscribe([{ stream: "a", lane: "fast", priority: 10 }]);
    expect((await positionOf(store, "a")).lane).toBe("fast");
  });

  line("S3", "a lower priority leaves priority and lane, though its mark is news", async ({ store }) => {
    await store.subscribe([{ stream: "a", lane: "slow", priority: 5 }]);
    await store.subscribe([{ stream: "a", lane: "fast", priority: 1, correlated_at: 9 }]);
    expect(await positionOf(store, "a")).toMatchObject({ lane: "slow", priority: 5, correlated_at: 9 });
  });

  line("S3", "an upsert without news rewrites no row", { needs: ["sql"] }, async ({ store, raw }) => {
    const targets = [
      { stream: "a", source: "s", priority: 3, lane: "fast", correlated_at: 5 },
      { stream: "b" },
      { stream: "c", priority: -1, correlated_at: -7 },
    ];
    const rows = () =>
      raw.sql`select stream, xmin::text, ctid::text from ${tablesOf(raw).streams} order by stream`;
    await store.subscribe(targets);
    const before = await rows();
    await store.subscribe(targets);
    await store.subscribe([{ stream: "a", priority: 1, lane: "other", correlated_at: 4, source: "t" }]);
    await store.subscribe([{ stream: "c", priority: -1, correlated_at: -8 }]);
    expect([...(await rows())]).toEqual([...before]);
  });

  line("S4", "duplicates in a batch are folded into one row", async ({ store }) => {
    const { subscribed } = await store.subscribe([
      { stream: "a", source: "first", priority: 1, correlated_at: 5 },
      { stream: "b" },
      { stream: "a", source: "second", priority: 4, correlated_at: 3 },
      { stream: "a", priority: 2 },
    ]);
    expect(subscribed).toBe(2);
    expect(await positionOf(store, "a")).toMatchObject({ priority: 4, correlated_at: 5 });
  });

  line("S4", "duplicates of an existing row are folded too", async ({ store }) => {
    await store.subscribe([{ stream: "a", priority: 2, lane: "old" }]);
    const { subscribed } = await store.subscribe([
      { stream: "a", priority: 1, lane: "low", correlated_at: 9 },
      { stream: "a", priority: 6, lane: "high", correlated_at: 4 },
      { stream: "a", priority: 3, lane: "middle" },
    ]);
    expect(subscribed).toBe(0);
    expect(await positionOf(store, "a")).toMatchObject({ priority: 6, lane: "high", correlated_at: 9 });
  });

  line("S5", "the work mark keeps the greatest value", async ({ store }) => {
    const marks: Array<number | undefined> = [];
    for (const correlated_at of [5, 3, undefined, 8, 0, -1]) {
      await store.subscribe([{ stream: "a", correlated_at }]);
      marks.push((await positionOf(store, "a")).correlated_at);
    }
    expect(marks).toEqual([5, 5, 5, 8, 8, 8]);
  });

  line("S5", "a lower or omitted mark leaves the mark, though the priority is news", async ({ store }) => {
    await store.subscribe([{ stream: "a", correlated_at: 9 }]);
    await store.subscribe([{ stream: "a", correlated_at: 3, priority: 1 }]);
    await store.subscribe([{ stream: "a", priority: 2, lane: "fast" }]);
    expect(await positionOf(store, "a")).toMatchObject({ correlated_at: 9, priority: 2, lane: "fast" });
  });

  line("S5", "0 and negative marks are values", async ({ store }) => {
    await store.subscribe([
      { stream: "zero", correlated_at: 0 },
      { stream: "negative", correlated_at: -5 },
    ]);
    expect((await positionOf(store, "zero")).correlated_at).toBe(0);
    expect((await positionOf(store, "negative")).correlated_at).toBe(-5);
    await store.subscribe([{ stream: "negative", correlated_at: -3 }]);
    expect((await positionOf(store, "negative")).correlated_at).toBe(-3);
    expect(streamsOf(await claimAll(store))).toEqual(["zero"]);
  });

  line("S5", "a mark beyond 2³¹ is kept", async ({ store }) => {
    await store.subscribe([{ stream: "a", correlated_at: 2 ** 33 }]);
    expect((await positionOf(store, "a")).correlated_at).toBe(2 ** 33);
    expect(streamsOf(await claimAll(store))).toEqual(["a"]);
  });

  line("S5", "without a mark a stream is never claimable, whatever is in the log", async ({ store }) => {
    await append(store, "source", "A", "B");
    await store.subscribe([{ stream: "a", source: "source" }, { stream: "b" }, { stream: "source" }]);
    expect(await claimAll(store)).toEqual([]);
  });

  line("S5", "a mark given later makes the stream claimable", async ({ store }) => {
    await store.subscribe([{ stream: "a" }]);
    await store.subscribe([{ stream: "a", correlated_at: 0 }]);
    expect(streamsOf(await claimAll(store))).toEqual(["a"]);
  });

  line("S5", "the mark survives claim, ack, block and every operator verb", async ({ store }) => {
    const marks: Array<number | undefined> = [];
    const note = async () => marks.push((await positionOf(store, "a")).correlated_at);
    await pending(store, "a");
    const lease = await leaseOf(store, "a");
    await store.ack([{ ...lease, at: 3 }]);
    await note();
    await store.block([{ ...(await leaseOf(store, "a")), error: "poison" }]);
    await note();
    await store.unblock(["a"]);
    await note();
    await store.defer(["a"], Date.now() + MINUTE);
    await note();
    await store.prioritize({ stream: "a" }, 4);
    await note();
    await store.reset(["a"]);
    await note();
    expect(marks).toEqual(Array(6).fill(1_000_000));
    expect((await positions(store)).map((row) => row.at)).toEqual([-1]);
  });
});
