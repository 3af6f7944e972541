/** ack and block: what a worker does with its leases. */
import { expect } from "vitest";
import { tablesOf } from "./kit/postgres.ts";
import {
  arrange,
  at,
  blocked,
  claimAll,
  leaseOf,
  MINUTE,
  only,
  pending,
  positionOf,
  positions,
  streamsOf,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

export const finalize = section("ack and block", (line) => {
  line("L6", "an ack moves the watermark and releases the stream", async ({ store }) => {
    await pending(store, "a");
    await store.ack([{ ...(await leaseOf(store, "a")), at: 12 }]);
    const row = await positionOf(store, "a");
    expect(row).toMatchObject({ at: 12, retry: -1, blocked: false });
    expect(row.leased_by).toBeUndefined();
    expect(row.leased_until).toBeUndefined();
    expect(await leaseOf(store, "a")).toMatchObject({ at: 12, retry: 0 });
  });

  line("L6", "the ack returns what is stored now", async ({ store }) => {
    await arrange(store, [{ stream: "a", source: "src", lane: "fast", at: 3 }]);
    const lease = await leaseOf(store, "a", "w1");
    expect(await store.ack([{ ...lease, at: 5, source: "wrong", lane: "wrong", retry: 7 }])).toEqual([
      { stream: "a", source: "src", at: 5, by: "w1", retry: -1, lagging: true, lane: "fast" },
    ]);
  });

  line("L6", "the ack keeps which side the lease was on", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 3 }]);
    const lease = only(await store.claim(0, 1, "w1", MINUTE));
    expect(await store.ack([{ ...lease, at: 5 }])).toMatchObject([{ stream: "a", lagging: false }]);
  });

  line("L6", "the watermark is taken verbatim, lower, equal or beyond 2³¹", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 50 }]);
    for (const target of [20, 20, 2 ** 32, 0, -1]) {
      await store.subscribe([{ stream: "a", correlated_at: 2 ** 33 }]);
      expect(await store.ack([{ ...(await leaseOf(store, "a")), at: target }])).toMatchObject([
        { at: target },
      ]);
      expect((await positionOf(store, "a")).at).toBe(target);
    }
  });

  line("L6", "an ack clears the defer schedule", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a");
    await store.defer(["a"], Date.now() + MINUTE);
    await store.ack([{ ...lease, at: 1 }]);
    expect((await positionOf(store, "a")).deferred_at).toBeUndefined();
    expect(streamsOf(await claimAll(store))).toEqual(["a"]);
  });

  line("L6", "another's ack does nothing", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a", "w1");
    const before = await positionOf(store, "a");
    expect(await store.ack([{ ...lease, by: "w2", at: 9 }])).toEqual([]);
    expect(await positionOf(store, "a")).toEqual(before);
  });

  line("L6", "a late ack, after another took the stream, does nothing", async ({ store }) => {
    await pending(store, "a");
    const late = await leaseOf(store, "a", "w1", 0);
    await leaseOf(store, "a", "w2");
    expect(await store.ack([{ ...late, at: 9 }])).toEqual([]);
    expect(await positionOf(store, "a")).toMatchObject({ at: -1, leased_by: "w2" });
  });

  line("L6", "an ack after expiry lands while nobody else took the stream", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a", "w1", 0);
    expect(await store.ack([{ ...lease, at: 9 }])).toHaveLength(1);
  });

  line("L6", "acks of unknown, unleased and already acked streams are silently absent", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a");
    await store.subscribe([{ stream: "unleased", correlated_at: 5 }]);
    expect(await store.ack([{ ...lease, stream: "unknown" }])).toEqual([]);
    expect(await store.ack([{ ...lease, stream: "unleased" }])).toEqual([]);
    expect(await store.ack([lease])).toHaveLength(1);
    expect(await store.ack([lease])).toEqual([]);
  });

  line("L6", "a batch acks the held ones and skips the rest", async ({ store }) => {
    await pending(store, "a", "b", "c");
    const leases = await claimAll(store, "w1");
    const batch = leases.map((lease, n) => ({ ...lease, at: n, by: lease.stream === "b" ? "w2" : "w1" }));
    expect(streamsOf(await store.ack([...batch, { ...at(batch, 0), stream: "unknown" }])).sort()).toEqual([
      "a",
      "c",
    ]);
    expect((await positionOf(store, "b")).leased_by).toBe("w1");
  });

  line("L6", "one stream twice in a batch is acked once", async ({ store }) => {
    await pending(store, "a");
    const lease = { ...(await leaseOf(store, "a")), at: 4 };
    expect(await store.ack([lease, lease])).toHaveLength(1);
    expect((await positionOf(store, "a")).at).toBe(4);
  });

  line("L6", "a batch is all or nothing", { needs: ["sql"] }, async ({ store, raw }) => {
    await pending(store, "a", "b");
    await raw.sql`alter table ${tablesOf(raw).streams} add constraint low check (at < 1000)`;
    const leases = await claimAll(store);
    const batch = leases.map((lease) =>
      lease.stream === "a" ? { ...lease, at: 5, due: Date.now() + MINUTE } : { ...lease, at: 5_000 },
    );
    await expect(store.ack(batch)).rejects.toThrow();
    expect((await positions(store)).map((row) => [row.at, row.leased_by, row.deferred_at])).toEqual([
      [-1, "worker", undefined],
      [-1, "worker", undefined],
    ]);
  });

  line("L7", "an ack with a due time advances and holds the stream back", async ({ store }) => {
    await pending(store, "a");
    const due = Date.now() + MINUTE;
    const lease = await leaseOf(store, "a");
    expect(await store.ack([{ ...lease, at: 6, due }])).toEqual([]);
    const row = await positionOf(store, "a");
    expect(row).toMatchObject({ at: 6, deferred_at: due });
    expect(row.leased_by).toBeUndefined();
    expect(row.leased_until).toBeUndefined();
    expect(await claimAll(store)).toEqual([]);
  });

  line("L7", "the retry of the lease is kept, so that the budget accrues", async ({ store }) => {
    await pending(store, "a");
    const due = Date.now() - 1;
    await store.ack([{ ...(await leaseOf(store, "a")), retry: 3, due }]);
    expect((await positionOf(store, "a")).retry).toBe(3);
    expect((await leaseOf(store, "a")).retry).toBe(4);
    await store.ack([{ stream: "a", at: -1, by: "worker", lagging: true, retry: -1, due }]);
    expect((await leaseOf(store, "a")).retry).toBe(0);
  });

  line("L7", "a due time that has passed, 0 included, leaves the stream claimable", async ({ store }) => {
    await pending(store, "a");
    for (const due of [Date.now() - 1_000, 0]) {
      await store.ack([{ ...(await leaseOf(store, "a")), due }]);
      expect(streamsOf(await claimAll(store, "probe", 0)), `${due}`).toEqual(["a"]);
    }
  });

  line("L7", "only the holder's due time counts", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a", "w1");
    await store.ack([{ ...lease, by: "w2", at: 9, due: Date.now() + MINUTE }]);
    expect(await positionOf(store, "a")).toMatchObject({ at: -1, leased_by: "w1" });
    expect((await positionOf(store, "a")).deferred_at).toBeUndefined();
  });

  line("L7", "a batch acks and defers in one", async ({ store }) => {
    await pending(store, "a", "b");
    const due = Date.now() + MINUTE;
    const leases = await claimAll(store);
    const acked = await store.ack(
      leases.map((lease) => (lease.stream === "a" ? { ...lease, at: 1 } : { ...lease, at: 2, due })),
    );
    expect(streamsOf(acked)).toEqual(["a"]);
    expect((await positions(store)).map((row) => [row.stream, row.at, row.deferred_at])).toEqual([
      ["a", 1, undefined],
      ["b", 2, due],
    ]);
  });

  line(
    "L8",
    "an ack by the holder after its block moves the watermark and leaves the block",
    async ({ store }) => {
      const lease = await blocked(store, "a", "poison");
      expect(await store.ack([{ ...lease, at: 8 }])).toMatchObject([{ stream: "a", at: 8 }]);
      const row = await positionOf(store, "a");
      expect(row).toMatchObject({ at: 8, blocked: true, error: "poison" });
      expect(row.leased_by).toBeUndefined();
      expect(await claimAll(store)).toEqual([]);
    },
  );

  line("L9", "a block records the error and returns the stored row", async ({ store }) => {
    await arrange(store, [{ stream: "a", source: "src", lane: "fast", at: 3 }]);
    const lease = await leaseOf(store, "a", "w1");
    expect(await store.block([{ ...lease, at: 77, error: "püré 😀" }])).toEqual([
      {
        stream: "a",
        source: "src",
        at: 3,
        by: "w1",
        retry: 0,
        error: "püré 😀",
        lagging: true,
        lane: "fast",
      },
    ]);
    expect(await positionOf(store, "a")).toMatchObject({ blocked: true, error: "püré 😀", at: 3 });
  });

  line("L9", "a block keeps watermark, retry and lease", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 3 }]);
    await leaseOf(store, "a", "w1", 0);
    const lease = await leaseOf(store, "a", "w1");
    const { leased_until } = await positionOf(store, "a");
    await store.block([{ ...lease, error: "poison" }]);
    const row = await positionOf(store, "a");
    expect(row).toMatchObject({ at: 3, retry: 1, leased_by: "w1", leased_until });
  });

  line("L9", "a stream named twice is blocked once", async ({ store }) => {
    await pending(store, "a");
    const lease = { ...(await leaseOf(store, "a")), error: "poison" };
    expect(await store.block([lease, { ...lease }])).toHaveLength(1);
    expect(await positionOf(store, "a")).toMatchObject({ blocked: true, error: "poison" });
  });

  line("L9", "a block clears a schedule that an operator set", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a");
    await store.defer(["a"], Date.now() + MINUTE);
    await store.block([{ ...lease, error: "poison" }]);
    expect((await positionOf(store, "a")).deferred_at).toBeUndefined();
  });

  line("L9", "another's block, and one of an unknown stream, do nothing", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a", "w1");
    expect(await store.block([{ ...lease, by: "w2", error: "e" }])).toEqual([]);
    expect(await store.block([{ ...lease, stream: "unknown", error: "e" }])).toEqual([]);
    expect(await positionOf(store, "a")).toMatchObject({ blocked: false, error: "" });
  });

  line("L9", "a second block returns nothing and keeps the first error", async ({ store }) => {
    const lease = await blocked(store, "a", "first");
    expect(await store.block([{ ...lease, error: "second" }])).toEqual([]);
    expect((await positionOf(store, "a")).error).toBe("first");
  });

  line("L9", "an empty error blocks too", async ({ store }) => {
    await pending(store, "a");
    expect(await store.block([{ ...(await leaseOf(store, "a")), error: "" }])).toMatchObject([{ error: "" }]);
    expect(await positionOf(store, "a")).toMatchObject({ blocked: true, error: "" });
  });

  line("L9", "a batch blocks the held ones", async ({ store }) => {
    await pending(store, "a", "b", "c");
    const leases = (await claimAll(store, "w1")).map((lease) => ({
      ...lease,
      by: lease.stream === "c" ? "w2" : "w1",
      error: `error of ${lease.stream}`,
    }));
    expect(streamsOf(await store.block(leases)).sort()).toEqual(["a", "b"]);
    expect((await positions(store)).map(({ error }) => error)).toEqual(["error of a", "error of b", ""]);
  });

  line("L9", "empty lists return empty lists", async ({ store }) => {
    expect(await store.ack([])).toEqual([]);
    expect(await store.block([])).toEqual([]);
  });

  line("L9", "empty lists ask no server", { needs: ["sql"] }, async ({ raw }) => {
    const unreachable = raw.construct({ host: "127.0.0.1", port: 1 });
    expect(await unreachable.ack([])).toEqual([]);
    expect(await unreachable.block([])).toEqual([]);
  });

  line("L7", "a due time of 0 is one", async ({ store }) => {
    await pending(store, "a");
    expect(await store.ack([{ ...(await leaseOf(store, "a")), at: 3, retry: 2, due: 0 }])).toEqual([]);
    expect(await positionOf(store, "a")).toMatchObject({ at: 3, retry: 2, deferred_at: 0 });
  });
});
