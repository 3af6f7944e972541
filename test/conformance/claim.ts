import type { Lease, Store } from "@rotorsoft/act";
import { expect, onTestFinished, vi } from "vitest";
import { eventually, within } from "./kit/eventually.ts";
import { openTransaction, tablesOf } from "./kit/postgres.ts";
import {
  append,
  arrange,
  blocked,
  claimAll,
  leaseOf,
  MINUTE,
  only,
  pending,
  positionOf,
  streamsOf,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const sorted = (leases: readonly Lease[]) => streamsOf(leases).sort();

/** Ten streams: p0 … p4 with priority 50 … 10 and recent, a0 … a4 without priority and old. */
const ranked = (store: Store) =>
  arrange(store, [
    ...[0, 1, 2, 3, 4].map((n) => ({ stream: `p${n}`, priority: 50 - 10 * n, at: 100 + n })),
    ...[0, 1, 2, 3, 4].map((n) => ({ stream: `a${n}`, at: n })),
  ]);

export const claim = section("claim", (line) => {
  line("L1", "a stream is claimable while its watermark is below its mark", async ({ store }) => {
    await store.subscribe([
      { stream: "behind", correlated_at: 0 },
      { stream: "level", correlated_at: -1 },
      { stream: "unmarked" },
    ]);
    expect(sorted(await claimAll(store))).toEqual(["behind"]);
  });

  line("L1", "a stream that reached its mark is not claimable until the mark rises", async ({ store }) => {
    await store.subscribe([{ stream: "a", correlated_at: 5 }]);
    await store.ack([{ ...(await leaseOf(store, "a")), at: 5 }]);
    expect(await claimAll(store)).toEqual([]);
    await store.subscribe([{ stream: "a", correlated_at: 6 }]);
    expect(sorted(await claimAll(store))).toEqual(["a"]);
  });

  line("L1", "events are no reason to claim, and no events no obstacle", async ({ store }) => {
    await append(store, "src", "A", "B");
    await store.subscribe([
      { stream: "unmarked", source: "src" },
      { stream: "marked", correlated_at: 9 },
    ]);
    expect(sorted(await claimAll(store))).toEqual(["marked"]);
  });

  line("L1", "a blocked stream is not claimable", async ({ store }) => {
    await blocked(store, "a");
    await pending(store, "b");
    expect(sorted(await claimAll(store))).toEqual(["b"]);
  });

  line("L1", "a leased stream is not claimable, not even by its holder", async ({ store }) => {
    await pending(store, "a");
    await leaseOf(store, "a", "w1");
    expect(await claimAll(store, "w2")).toEqual([]);
    expect(await claimAll(store, "w1")).toEqual([]);
  });

  line("L1", "an expired lease makes the stream claimable", async ({ store }) => {
    await pending(store, "a");
    await leaseOf(store, "a", "w1", 30);
    const taken = await eventually(async () => (await claimAll(store, "w2"))[0]);
    expect(taken).toMatchObject({ stream: "a", by: "w2", retry: 1 });
  });

  line("L1", "a stream deferred into the future is not claimable, one due is", async ({ store }) => {
    await pending(store, "later", "due");
    await store.defer(["later"], Date.now() + MINUTE);
    await store.defer(["due"], Date.now() - 1_000);
    expect(sorted(await claimAll(store))).toEqual(["due"]);
  });

  line("L1", "a deferred stream becomes claimable by itself", async ({ store }) => {
    await pending(store, "a");
    await store.defer(["a"], Date.now() + 600);
    expect(await claimAll(store)).toEqual([]);
    expect(await eventually(async () => (await claimAll(store))[0])).toMatchObject({ stream: "a", retry: 0 });
  });

  line("L1", "a lane keeps to its streams, and no lane means all", async ({ store }) => {
    await store.subscribe([
      { stream: "d", correlated_at: 9 },
      { stream: "f", lane: "fast", correlated_at: 9 },
      { stream: "F", lane: "Fast", correlated_at: 9 },
    ]);
    const inLane = async (lane?: string) => {
      const leases = await claimAll(store, "w", 0, lane);
      return sorted(leases);
    };
    expect(await inLane("fast")).toEqual(["f"]);
    expect(await inLane("Fast")).toEqual(["F"]);
    expect(await inLane("default")).toEqual(["d"]);
    expect(await inLane("absent")).toEqual([]);
    expect(await inLane()).toEqual(["F", "d", "f"]);
  });

  const shares: Array<[lagging: number, byPriority: number, byAge: number]> = [
    [1, 1, 0],
    [2, 1, 1],
    [3, 2, 1],
    [4, 3, 1],
    [7, 6, 1],
    [8, 6, 2],
    [11, 9, 2],
    [12, 9, 3],
  ];
  for (const [lagging, byPriority, byAge] of shares) {
    line(
      "L2",
      `of ${lagging} lagging picks, ${byPriority} go by priority and ${byAge} by age`,
      async ({ store }) => {
        await arrange(store, [
          ...Array.from({ length: 12 }, (_, n) => ({ stream: `p${n}`, priority: 50 - n, at: 50 + n })),
          ...Array.from({ length: 5 }, (_, n) => ({ stream: `a${n}`, priority: -5, at: n })),
        ]);
        const leases = await store.claim(lagging, 0, "w", MINUTE);
        const expected = [
          ...Array.from({ length: byPriority }, (_, n) => `p${n}`),
          ...Array.from({ length: byAge }, (_, n) => `a${n}`),
        ];
        expect(sorted(leases)).toEqual(expected.sort());
        expect(leases.every((lease) => lease.lagging)).toBe(true);
      },
    );
  }

  line("L1", "an empty lane is a lane that nobody has", async ({ store }) => {
    await pending(store, "a");
    expect(await claimAll(store, "w", 0, "")).toEqual([]);
  });

  line("L2", "of −1 picks there are none", async ({ store }) => {
    await pending(store, "a", "b", "c");
    expect(await store.claim(-1, -1, "w", MINUTE)).toEqual([]);
    expect(streamsOf(await store.claim(1, -1, "w", MINUTE))).toHaveLength(1);
  });

  line("L2", "equal priorities go by age", async ({ store }) => {
    await arrange(store, [
      { stream: "young", at: 9 },
      { stream: "old", at: 1 },
      { stream: "middle", at: 5 },
    ]);
    expect(streamsOf(await store.claim(1, 0, "w", MINUTE))).toEqual(["old"]);
    expect(streamsOf(await store.claim(1, 0, "w", MINUTE))).toEqual(["middle"]);
  });

  line("L2", "a negative priority waits behind none", async ({ store }) => {
    await arrange(store, [
      { stream: "negative", priority: -1, at: 0 },
      { stream: "none", at: 90 },
    ]);
    expect(streamsOf(await store.claim(1, 0, "w", MINUTE))).toEqual(["none"]);
  });

  line("L2", "leading picks the most advanced, whatever the priority", async ({ store }) => {
    await ranked(store);
    const leases = await store.claim(0, 3, "w", MINUTE);
    expect(sorted(leases)).toEqual(["p2", "p3", "p4"]);
    expect(leases.some((lease) => lease.lagging)).toBe(false);
  });

  line("L2", "both sides together, each flagged by the side that picked it", async ({ store }) => {
    await ranked(store);
    const leases = await store.claim(2, 2, "w", MINUTE);
    const flags = Object.fromEntries(leases.map(({ stream, lagging }) => [stream, lagging]));
    expect(flags).toEqual({ p0: true, a0: true, p3: false, p4: false });
  });

  line("L2", "a stream on both sides is leased once, as lagging", async ({ store }) => {
    await arrange(store, [
      { stream: "a", at: 1, priority: 1 },
      { stream: "b", at: 2 },
    ]);
    const leases = await store.claim(5, 5, "w", MINUTE);
    expect(leases.map(({ stream, lagging, retry }) => [stream, lagging, retry]).sort()).toEqual([
      ["a", true, 0],
      ["b", true, 0],
    ]);
  });

  line("L2", "a leading pick that lagging has already made is not replaced", async ({ store }) => {
    await arrange(store, [
      { stream: "top", at: 90, priority: 9 },
      { stream: "b", at: 2 },
      { stream: "c", at: 3 },
    ]);
    expect(streamsOf(await store.claim(1, 1, "w", MINUTE))).toEqual(["top"]);
  });

  line("L2", "both sides keep to the lane", async ({ store }) => {
    await arrange(store, [
      { stream: "d1", at: 1, priority: 9 },
      { stream: "f1", at: 2, lane: "fast" },
      { stream: "f2", at: 3, lane: "fast" },
      { stream: "f3", at: 4, lane: "fast" },
      { stream: "d2", at: 99 },
    ]);
    const leases = await store.claim(2, 1, "w", MINUTE, "fast");
    expect(leases.map(({ stream, lagging }) => `${stream} ${lagging}`).sort()).toEqual([
      "f1 true",
      "f2 true",
      "f3 false",
    ]);
  });

  line("L3", "a claim of nothing, or with nothing eligible, is empty", async ({ store }) => {
    expect(await store.claim(5, 5, "w", MINUTE)).toEqual([]);
    await pending(store, "a");
    expect(await store.claim(0, 0, "w", MINUTE)).toEqual([]);
    expect((await positionOf(store, "a")).retry).toBe(-1);
  });

  line("L3", "the lease carries the subscription and its holder", async ({ store }) => {
    await arrange(store, [
      { stream: "a", at: 7, source: "^src", lane: "fast" },
      { stream: "b", at: 1 },
    ]);
    const leases = await claimAll(store, "worker-1");
    expect(leases).toHaveLength(2);
    expect(leases.find(({ stream }) => stream === "a")).toEqual({
      stream: "a",
      source: "^src",
      at: 7,
      by: "worker-1",
      retry: 0,
      lagging: true,
      lane: "fast",
    });
    const b = leases.find(({ stream }) => stream === "b");
    expect(b).toMatchObject({ at: 1, by: "worker-1", retry: 0, lane: "default" });
    expect(b?.source).toBeUndefined();
  });

  line("L3", "the holder and the end of the lease are on record", async ({ store }) => {
    await pending(store, "a");
    await leaseOf(store, "a", "worker-1");
    const row = await positionOf(store, "a");
    expect(row).toMatchObject({ leased_by: "worker-1", retry: 0 });
    expect(row.leased_until).toBeInstanceOf(Date);
  });

  line("L3", "every grant counts one attempt more", async ({ store }) => {
    await pending(store, "a");
    const attempts: number[] = [];
    for (let n = 0; n < 4; n++) attempts.push((await leaseOf(store, "a", `w${n}`, 0)).retry);
    expect(attempts).toEqual([0, 1, 2, 3]);
    expect((await positionOf(store, "a")).retry).toBe(3);
  });

  line("L3", "attempts go on past 32,767", async ({ store }) => {
    await pending(store, "a");
    await store.ack([{ ...(await leaseOf(store, "a")), retry: 32_767, due: Date.now() - 1_000 }]);
    expect((await leaseOf(store, "a")).retry).toBe(32_768);
  });

  line("L3", "the lease ends by the clock of the server", { needs: ["sql"] }, async ({ store, raw }) => {
    await pending(store, "a");
    await leaseOf(store, "a", "w", MINUTE);
    const [row] = await raw.sql<Array<{ left: number }>>`
      select (extract(epoch from leased_until - clock_timestamp()) * 1000)::float8 as left
      from ${tablesOf(raw).streams}`;
    expect(row?.left).toBeGreaterThan(MINUTE - 10_000);
    expect(row?.left).toBeLessThanOrEqual(MINUTE);
  });

  line("L4", "a lease of 0 milliseconds is claimable again at once", async ({ store }) => {
    await pending(store, "a");
    await leaseOf(store, "a", "w1", 0);
    expect(await leaseOf(store, "a", "w2", 0)).toMatchObject({ by: "w2", retry: 1 });
  });

  line("L4", "a lease of 0 milliseconds has a holder, whose ack lands", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a", "w1", 0);
    expect((await positionOf(store, "a")).leased_by).toBe("w1");
    expect(await store.ack([{ ...lease, at: 4 }])).toMatchObject([{ stream: "a", at: 4 }]);
    expect((await positionOf(store, "a")).at).toBe(4);
  });

  line("L5", "claims at once share the streams without overlap", async ({ store }) => {
    await pending(store, ...Array.from({ length: 20 }, (_, n) => `s${n}`));
    const claims = await Promise.all(["w1", "w2", "w3"].map((by) => store.claim(5, 3, by, MINUTE)));
    const streams = streamsOf(claims.flat());
    expect(new Set(streams).size).toBe(streams.length);
    // Twenty are more than two can take.
    expect(claims.map((leases) => leases.length > 0)).toEqual([true, true, true]);
  });

  line(
    "L5",
    "two workers that ask for five of twenty get five each",
    { needs: ["shared"] },
    async (fixture) => {
      const { store, second } = fixture;
      const other = await second();
      for (let round = 0; round < 8; round++) {
        const lane = `lane${round}`;
        await store.subscribe(
          Array.from({ length: 20 }, (_, n) => ({ stream: `${lane}-${n}`, lane, correlated_at: 9 })),
        );
        const [ours, theirs] = await Promise.all([
          store.claim(5, 0, "w1", MINUTE, lane),
          other.claim(5, 0, "w2", MINUTE, lane),
        ]);
        expect([ours?.length, theirs?.length]).toEqual([5, 5]);
        expect(new Set(streamsOf([...ours, ...theirs])).size).toBe(10);
      }
    },
  );

  line(
    "L5",
    "an expired lease goes to one of many racers",
    { needs: ["shared"] },
    async ({ store, second }) => {
      const stores = [store, await second(), await second()];
      await pending(store, "a");
      await leaseOf(store, "a", "first", 1);
      const winners = await eventually(async () => {
        const claims = stores.flatMap((each, n) => [claimAll(each, `x${n}`), claimAll(each, `y${n}`)]);
        return (await Promise.all(claims)).flat().length;
      });
      expect(winners).toBe(1);
    },
  );

  line(
    "L5",
    "a claim passes over the rows that another transaction holds",
    { needs: ["sql"] },
    async (fixture) => {
      const { store, raw } = fixture;
      await pending(store, "a", "b", "c");
      const { streams } = tablesOf(raw);
      const holder = await openTransaction(
        raw,
        (sql) => sql`select from ${streams} where stream = 'b' for update`,
      );
      expect(sorted(await within(5_000, "the claim", claimAll(store)))).toEqual(["a", "c"]);
      await holder.rollback();
      expect(only(await claimAll(store)).stream).toBe("b");
    },
  );

  line("L2", "of hundreds that are due at once the highest priorities go first", async ({ store }) => {
    // Those with the highest priorities become due last.
    const rows = Array.from({ length: 300 }, (_, n) => ({ stream: `d${n}`, priority: n % 100, at: 300 - n }));
    await arrange(store, rows);
    const millis = Date.now();
    await Promise.all(rows.map(({ stream, priority }) => store.defer([stream], millis - 60_000 + priority)));
    const leases = await store.claim(8, 2, "w", MINUTE);
    const [byPriority, byAge] = [
      ["d99", "d98", "d199", "d198", "d299", "d298"],
      ["d297", "d296"],
    ];
    expect(sorted(leases)).toEqual([...byPriority, ...byAge, "d0", "d1"].sort());
  });

  line("L2", "what was deferred and is due takes its place by priority and age", async ({ store }) => {
    await arrange(store, [
      { stream: "never", at: 5 },
      { stream: "due", priority: 9, at: 9 },
      { stream: "old", at: 1 },
    ]);
    await store.defer(["due", "old"], Date.now() - 1_000);
    const order: string[] = [];
    for (let n = 0; n < 3; n++) order.push(...streamsOf(await store.claim(1, 0, "w", MINUTE)));
    expect(order).toEqual(["due", "old", "never"]);
  });

  line(
    "L3",
    "the clock of this process has no say in when a lease ends",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      await pending(store, "a");
      const ahead = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 3_600_000);
      onTestFinished(() => ahead.mockRestore());
      await leaseOf(store, "a", "w1", MINUTE);
      await store.subscribe([], undefined, { key: "k", by: "w1", millis: MINUTE });
      expect(await claimAll(store, "w2")).toEqual([]);
      for (const table of [tablesOf(raw).streams, tablesOf(raw).correlated]) {
        const [row] =
          await raw.sql`select (extract(epoch from leased_until - clock_timestamp()) * 1000)::float8 as left
        from ${table} where leased_by is not null`;
        expect(row?.left).toBeLessThanOrEqual(MINUTE);
      }
    },
  );
});
