/** More than a store can do at once: it queues so much, in order, and says when it is too much. */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { ConnectionError } from "../../../src/index.ts";
import { event, failureOf, meta, useDatabase } from "../../postgres/fixture.ts";
import { titled } from "../failover/programs.ts";
import { load, loadOf } from "../kit/clients.ts";
import { backToNormal, FaultRun } from "../kit/fault-run.ts";
import { LONG, scale, TIMEOUT } from "../kit/scale.ts";

const fixture = useDatabase();
const MAX = 5;
/** Of src/events/queue.ts: commits that wait in one process. */
const MAX_WAITING = 100_000;

const codeOf = (error: unknown) => {
  const cause = error instanceof StoreError ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? String(cause.code) : String(error);
};

/** Calls by how they ended. */
async function outcomes(calls: readonly Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const result of await Promise.allSettled(calls)) {
    const kind = result.status === "fulfilled" ? "fulfilled" : codeOf(result.reason);
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

test(
  "10,000 commits at once on five connections all land, in the order of their calls",
  async () => {
    const faultRun = new FaultRun({ item: 7, fault: "10,000 concurrent commits, pool of 5" });
    const store = await fixture.seeded({ max: MAX });
    const streams = 50;
    const heap = process.memoryUsage().heapUsed;
    let highest = heap;
    let connections = 0;
    let over = false;
    const watching = (async () => {
      while (!over) {
        highest = Math.max(highest, process.memoryUsage().heapUsed);
        connections = Math.max(connections, (await fixture.pids(store)).length);
      }
    })();
    const calls = Array.from({ length: 10_000 }, (_, n) => faultRun.ledger.commit(store, `s${n % streams}`));
    const reads = outcomes(Array.from({ length: 200 }, () => store.query(() => {}, { limit: 1 })));
    expect(await Promise.all(calls)).not.toContain(false);
    over = true;
    await watching;
    expect(await reads).toEqual({ fulfilled: 200 });
    // Called one after the other: of two commits to a stream the later one stands behind.
    const heads = new Map<string, number>();
    let last = 0;
    for (const { stream, placed } of faultRun.ledger.acknowledged.values()) {
      const [{ id, version } = { id: -1, version: -1 }] = placed;
      expect(version).toBe((heads.get(stream) ?? -1) + 1);
      expect(id).toBeGreaterThan(last);
      heads.set(stream, version);
      last = id;
    }
    const megabytes = Math.round((highest - heap) / 2 ** 20);
    console.log(`${megabytes} MB of heap above the start, ${connections} connections`);
    expect(connections).toBeLessThanOrEqual(MAX);
    expect(megabytes).toBeLessThan(300);
    await faultRun.conclude(fixture.url, { load: "10,000 commits called at once", injected: 1 });
  },
  TIMEOUT,
);

const beyond = titled(
  "a commit beyond 100,000 waiting ones is refused at once, with the reason",
  LONG ? "" : "takes ten seconds, FAULTS=long runs it",
);
test.skipIf(!LONG)(
  beyond,
  async () => {
    const store = await fixture.seeded({ statement_timeout: 500 });
    await store.commit("warm", [event()], meta);
    const lock = await fixture.hold(store);
    const first = store.commit("s", [event()], meta).catch((error: unknown) => error);
    await expect.poll(() => fixture.lockWaiters()).toHaveLength(1);
    const heap = process.memoryUsage().heapUsed;
    const waiting = outcomes(Array.from({ length: MAX_WAITING }, () => store.commit("s", [event()], meta)));
    const megabytes = Math.round((process.memoryUsage().heapUsed - heap) / 2 ** 20);
    const { error, millis } = await failureOf(store.commit("s", [event()], meta));
    expect(error).toMatchObject({ name: "ERR_STORE", operation: "commit", cause: { code: "QUEUE_FULL" } });
    expect((error as StoreError).cause).toBeInstanceOf(ConnectionError);
    expect(millis).toBeLessThan(500);
    await lock.release();
    // Many land before their deadline, the others are told that they were never sent.
    const counts = await waiting;
    await first;
    console.log(`${MAX_WAITING} waiting: ${megabytes} MB; ${JSON.stringify(counts)}`);
    const { fulfilled = 0, ...failed } = counts;
    // None is left hanging; those that were never sent, or cancelled behind the lock, say so.
    for (const code of Object.keys(failed)) expect(["57014", "DEADLINE"]).toContain(code);
    expect(
      await store.query(() => {}, { stream: "s", stream_exact: true, limit: MAX_WAITING + 10 }),
    ).toBeGreaterThanOrEqual(fulfilled);
    expect(await store.commit("s", [event()], meta)).toHaveLength(1);
  },
  TIMEOUT,
);

test(
  "thousands of reads at once on five connections are answered, or told that none became free",
  async () => {
    const READS = scale(3_000, 10_000);
    const store = await fixture.seeded({ max: MAX, connectionTimeoutMillis: 1_500 });
    for (let n = 0; n < 20; n++) await store.commit("s", [event("Read", { fill: "x".repeat(1_000) })], meta);
    const { fulfilled = 0, ...failed } = await outcomes(
      Array.from({ length: READS }, () => store.query(() => {})),
    );
    console.log(`${READS} reads: ${fulfilled} answered, ${JSON.stringify(failed)}`);
    expect(fulfilled).toBeGreaterThan(0);
    expect(Object.keys(failed).filter((code) => code !== "POOL_TIMEOUT")).toEqual([]);
    expect(await store.query(() => {})).toBe(20);
  },
  TIMEOUT,
);

test(
  "a foreign transaction that keeps the append lock: errors at the deadline, reads go on, then recovery",
  async () => {
    const HELD = scale(2_500, 60_000);
    const faultRun = new FaultRun({ item: 7, fault: "append lock held by a foreign transaction" });
    const limits = { max: MAX, statement_timeout: 1_000, connectionTimeoutMillis: 2_000 };
    const stores = [await fixture.seeded(limits)];
    const [store] = stores;
    if (!store) throw new Error("there is one");
    let over = false;
    const working = load(faultRun.ledger, stores, () => over);
    await expect.poll(() => faultRun.ledger.acknowledged.size).toBeGreaterThan(20);
    const lock = await fixture.hold(store);
    const before = faultRun.ledger.acknowledged.size;
    const end = performance.now() + HELD;
    let reads = 0;
    while (performance.now() < end) {
      await store.query(() => {}, { limit: 10 });
      reads++;
    }
    const during = faultRun.ledger.acknowledged.size - before;
    // What was answered while the lock was granted may have arrived after it.
    expect(during).toBeLessThan(10);
    expect(reads).toBeGreaterThan(10);
    const { error, millis } = await failureOf(store.commit("late", [event()], meta));
    expect(codeOf(error)).toMatch(/^(57014|DEADLINE)$/);
    // statement_timeout, and what waited before it.
    expect(millis).toBeLessThan(4_000);
    await lock.release();
    await expect.poll(() => faultRun.ledger.acknowledged.size).toBeGreaterThan(before + during + 20);
    over = true;
    await working;
    await backToNormal(fixture.url, stores);
    await faultRun.conclude(fixture.url, { load: loadOf(stores), injected: 1 });
  },
  TIMEOUT,
);
