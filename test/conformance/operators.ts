/** defer, reset, unblock, prioritize: what an operator does to subscriptions. */
import { expect } from "vitest";
import {
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

const later = () => Date.now() + MINUTE;

export const operators = section("operators", (line) => {
  line("L10", "defer by name holds those streams back and counts them", async ({ store }) => {
    await pending(store, "a", "b", "c");
    expect(await store.defer(["a", "c"], later())).toBe(2);
    expect(streamsOf(await claimAll(store))).toEqual(["b"]);
  });

  line("L10", "defer counts each stream once, and unknown ones not at all", async ({ store }) => {
    await pending(store, "a", "b");
    expect(await store.defer(["a", "a", "unknown", "a"], later())).toBe(1);
    expect(await store.defer(["unknown"], later())).toBe(0);
    expect(await store.defer([], later())).toBe(0);
    expect(await store.defer({ stream: "^unknown" }, later())).toBe(0);
  });

  line("L10", "defer takes names literally", async ({ store }) => {
    await pending(store, "a.b", "axb");
    expect(await store.defer(["a.b"], later())).toBe(1);
    expect(streamsOf(await claimAll(store))).toEqual(["axb"]);
  });

  line("L10", "defer by filter: pattern, exact name, source, lane, all", async ({ store }) => {
    await store.subscribe([
      { stream: "hook-1", source: "orders", correlated_at: 9 },
      { stream: "hook-2", source: "users", lane: "slow", correlated_at: 9 },
      { stream: "mail-1", lane: "slow", correlated_at: 9 },
    ]);
    expect(await store.defer({ stream: "^hook-" }, later())).toBe(2);
    expect(await store.defer({ stream: "hook-1", stream_exact: true }, later())).toBe(1);
    expect(await store.defer({ stream: "hook-", stream_exact: true }, later())).toBe(0);
    expect(await store.defer({ source: "^user" }, later())).toBe(1);
    expect(await store.defer({ source: "orders", source_exact: true }, later())).toBe(1);
    expect(await store.defer({ lane: "slow" }, later())).toBe(2);
    expect(await store.defer({ lane: "slow", stream: "^hook-" }, later())).toBe(1);
    expect(await store.defer({}, later())).toBe(3);
  });

  line("L10", "defer by filter on blocked, true and false", async ({ store }) => {
    await blocked(store, "bad");
    await store.subscribe([{ stream: "good" }]);
    expect(await store.defer({ blocked: true }, 5)).toBe(1);
    expect(await store.defer({ blocked: false }, 7)).toBe(1);
    expect((await positionOf(store, "bad")).deferred_at).toBe(5);
    expect((await positionOf(store, "good")).deferred_at).toBe(7);
  });

  line(
    "L10",
    "the schedule is exposed in milliseconds while set, and absent otherwise",
    async ({ store }) => {
      await pending(store, "a", "b");
      const due = Date.now() + 86_400_123;
      await store.defer(["a"], due);
      expect((await positionOf(store, "a")).deferred_at).toBe(due);
      expect((await positionOf(store, "b")).deferred_at).toBeUndefined();
      await store.defer(["a"], due + 1);
      expect((await positionOf(store, "a")).deferred_at).toBe(due + 1);
    },
  );

  line("L10", "a stream deferred into the past is claimable", async ({ store }) => {
    await pending(store, "a");
    for (const due of [Date.now() - 1, 1]) {
      expect(await store.defer(["a"], due)).toBe(1);
      expect(streamsOf(await claimAll(store, "probe", 0))).toEqual(["a"]);
    }
  });

  line("L10", "defer starts the attempts anew and keeps the rest", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 4 }]);
    await leaseOf(store, "a", "w", 0);
    await leaseOf(store, "a", "w", 0);
    await store.defer(["a"], Date.now() - 1);
    expect(await positionOf(store, "a")).toMatchObject({ at: 4, retry: -1 });
    expect((await leaseOf(store, "a")).retry).toBe(0);
  });

  line("L10", "defer leaves a block", async ({ store }) => {
    await blocked(store, "a", "poison");
    await store.defer(["a"], later());
    expect(await positionOf(store, "a")).toMatchObject({ blocked: true, error: "poison" });
  });

  line("L11", "reset starts a stream over, free of lease and block", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 9, source: "src", priority: 2, lane: "slow" }]);
    await store.block([{ ...(await leaseOf(store, "a")), error: "poison" }]);
    expect(await store.reset(["a"])).toBe(1);
    const row = await positionOf(store, "a");
    expect(row).toMatchObject({ at: -1, retry: -1, blocked: false, error: "", source: "src", priority: 2 });
    expect([row.lane, row.leased_by, row.leased_until]).toEqual(["slow", undefined, undefined]);
    expect(row.correlated_at).toBe(1_000_000);
    expect(await leaseOf(store, "a")).toMatchObject({ at: -1, retry: 0 });
  });

  line("L11", "reset clears the schedule and the attempts behind it", async ({ store }) => {
    await pending(store, "a");
    await store.ack([{ ...(await leaseOf(store, "a")), at: 5, retry: 3, due: later() }]);
    await store.reset(["a"]);
    const row = await positionOf(store, "a");
    expect([row.at, row.retry, row.deferred_at]).toEqual([-1, -1, undefined]);
  });

  line("L11", "after a reset the old holder's ack does nothing", async ({ store }) => {
    await pending(store, "a");
    const lease = await leaseOf(store, "a");
    await store.reset(["a"]);
    expect(await store.ack([{ ...lease, at: 50 }])).toEqual([]);
    expect((await positionOf(store, "a")).at).toBe(-1);
  });

  line("L11", "reset counts what exists, once each, changed or not", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 9 }, { stream: "b" }]);
    expect(await store.reset(["a", "b", "a", "unknown"])).toBe(2);
    expect(await store.reset(["a"])).toBe(1);
    expect(await store.reset([])).toBe(0);
    expect(await store.reset(["unknown"])).toBe(0);
  });

  line("L11", "reset by filter: pattern, exact name, source, lane, blocked, all", async ({ store }) => {
    await arrange(store, [
      { stream: "p-1", at: 5, source: "orders" },
      { stream: "p-2", at: 6, lane: "slow" },
      { stream: "q-1", at: 7, source: "order" },
    ]);
    await blocked(store, "q-2");
    const untouched = async () => streamsOf((await positions(store)).filter((row) => row.at > -1));
    expect(await store.reset({ stream: "p-1", stream_exact: true })).toBe(1);
    expect(await untouched()).toEqual(["p-2", "q-1"]);
    expect(await store.reset({ source: "order", source_exact: true })).toBe(1);
    expect(await untouched()).toEqual(["p-2"]);
    expect(await store.reset({ source: "order" })).toBe(2);
    expect(await store.reset({ lane: "slow" })).toBe(1);
    expect(await untouched()).toEqual([]);
    expect(await store.reset({ blocked: true })).toBe(1);
    expect(await store.reset({ blocked: true })).toBe(0);
    expect(await store.reset({ blocked: false, stream: "^p-" })).toBe(2);
    expect(await store.reset({})).toBe(4);
  });

  line("L11", "unblock frees a blocked stream where it stood", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 9 }]);
    await store.block([{ ...(await leaseOf(store, "a")), error: "poison" }]);
    expect(await store.unblock(["a"])).toBe(1);
    const row = await positionOf(store, "a");
    expect(row).toMatchObject({ at: 9, retry: -1, blocked: false, error: "" });
    expect([row.leased_by, row.leased_until]).toEqual([undefined, undefined]);
    expect(await leaseOf(store, "a")).toMatchObject({ at: 9, retry: 0 });
  });

  line("L11", "unblock clears the schedule", async ({ store }) => {
    await blocked(store, "a");
    await store.defer(["a"], later());
    expect(await store.unblock(["a"])).toBe(1);
    expect((await positionOf(store, "a")).deferred_at).toBeUndefined();
  });

  line("L11", "unblock counts blocked streams only, once each", async ({ store }) => {
    await blocked(store, "a");
    await blocked(store, "b");
    await pending(store, "free");
    expect(await store.unblock(["a", "a", "free", "unknown"])).toBe(1);
    expect(await store.unblock(["a"])).toBe(0);
    expect(await store.unblock([])).toBe(0);
    expect(streamsOf(await positions(store, { blocked: true }))).toEqual(["b"]);
  });

  line("L11", "unblock leaves an unblocked stream's lease and schedule alone", async ({ store }) => {
    await pending(store, "a");
    await leaseOf(store, "a", "w1");
    await store.defer(["a"], later());
    const before = await positionOf(store, "a");
    expect(await store.unblock(["a"])).toBe(0);
    expect(await store.unblock({})).toBe(0);
    expect(await positionOf(store, "a")).toEqual(before);
  });

  line(
    "L11",
    "unblock by filter: all that is blocked, and with blocked: false nothing",
    async ({ store }) => {
      await blocked(store, "a-1");
      await blocked(store, "a-2");
      await blocked(store, "b-1");
      expect(await store.unblock({ blocked: false })).toBe(0);
      expect(await store.unblock({ blocked: false, stream: "^a" })).toBe(0);
      expect(await store.unblock({ stream: "^a-", blocked: true })).toBe(2);
      expect(await store.unblock({ lane: "absent" })).toBe(0);
      expect(await store.unblock({})).toBe(1);
    },
  );

  line("L11", "prioritize sets the value as it is, lower and negative too", async ({ store }) => {
    await store.subscribe([{ stream: "a", priority: 5 }]);
    const seen: number[] = [];
    for (const priority of [9, -3, 0, -2_147_483_648, 2_147_483_647]) {
      expect(await store.prioritize({ stream: "a" }, priority)).toBe(1);
      seen.push((await positionOf(store, "a")).priority);
    }
    expect(seen).toEqual([9, -3, 0, -2_147_483_648, 2_147_483_647]);
  });

  line("L11", "prioritize counts the changed ones", async ({ store }) => {
    await store.subscribe([{ stream: "a", priority: 5 }, { stream: "b" }, { stream: "c", priority: 5 }]);
    expect(await store.prioritize({}, 5)).toBe(1);
    expect(await store.prioritize({}, 5)).toBe(0);
    expect(await store.prioritize({ stream: "^unknown" }, 5)).toBe(0);
    expect(await store.prioritize({}, 0)).toBe(3);
  });

  line("L11", "prioritize by filter: pattern, exact name, source, lane, blocked", async ({ store }) => {
    await store.subscribe([
      { stream: "a-1", source: "src" },
      { stream: "a-2", lane: "slow" },
    ]);
    await blocked(store, "b");
    expect(await store.prioritize({ stream: "^a" }, 1)).toBe(2);
    expect(await store.prioritize({ stream: "a-1", stream_exact: true }, 2)).toBe(1);
    expect(await store.prioritize({ source: "^s" }, 3)).toBe(1);
    expect(await store.prioritize({ lane: "slow" }, 4)).toBe(1);
    expect(await store.prioritize({ blocked: true }, 5)).toBe(1);
    expect(await store.prioritize({ blocked: false }, 6)).toBe(2);
    expect((await positions(store)).map((row) => row.priority)).toEqual([6, 6, 5]);
  });

  line("L11", "prioritize touches nothing but the priority", async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 3, lane: "slow", source: "src" }]);
    await leaseOf(store, "a");
    const before = await positionOf(store, "a");
    await store.prioritize({ stream: "a" }, 8);
    expect(await positionOf(store, "a")).toEqual({ ...before, priority: 8 });
  });

  line("L11", "prioritize decides what is claimed next", async ({ store }) => {
    await pending(store, "a", "b", "c");
    await store.prioritize({ stream: "c" }, 3);
    await store.prioritize({ stream: "a" }, -3);
    const order: string[] = [];
    for (let n = 0; n < 3; n++) order.push(...streamsOf(await store.claim(1, 0, "w", MINUTE)));
    expect(order).toEqual(["c", "b", "a"]);
  });

  line("L11", "a source filter never matches a subscription without source", async ({ store }) => {
    await store.subscribe([{ stream: "without" }, { stream: "with", source: "src" }]);
    for (const source of [".*", "^", "$", "src"]) {
      expect(await store.reset({ source })).toBe(1);
      expect(await store.defer({ source }, 1)).toBe(1);
    }
    expect(await store.reset({ source: "null" })).toBe(0);
    expect(await store.prioritize({ source: ".*" }, 4)).toBe(1);
    expect((await positionOf(store, "without")).priority).toBe(0);
  });

  line("L11", "filters are case-sensitive and take _ and % literally", async ({ store }) => {
    await store.subscribe([{ stream: "a_b" }, { stream: "axb" }, { stream: "A_B" }, { stream: "a%b" }]);
    expect(await store.reset({ stream: "a_b" })).toBe(1);
    expect(await store.reset({ stream: "a%" })).toBe(1);
    expect(await store.prioritize({ stream: "^A" }, 2)).toBe(1);
    expect((await positionOf(store, "A_B")).priority).toBe(2);
  });

  line("L10", "a schedule of 0 is exposed", async ({ store }) => {
    await pending(store, "a");
    await store.defer(["a"], 0);
    expect((await positionOf(store, "a")).deferred_at).toBe(0);
  });
});
