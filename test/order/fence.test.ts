/** Line M5: whoever appends holds the lock, so events become visible in the order of their ids. */
import type { Schemas } from "@rotorsoft/act";
import type postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { holdFence, insertRaw, openTransaction, stateOf, takeFence, waitForWaiters } from "./fence.ts";
import type { TableName } from "./lock.ts";

const meta = { correlation: "c", causation: {} };
const event = { name: "Appended", data: {} };

let database: TestDatabase;
let monitor: postgres.Sql;
let name: TableName;
let count = 0;

beforeAll(async () => {
  database = await createDatabase();
  monitor = connect(database.url);
});
afterAll(async () => {
  await monitor.end();
  await database.drop();
});
beforeEach(() => {
  name = { url: database.url, schema: database.schema, table: `fence_${count++}` };
});

async function openStore(at: TableName = name): Promise<PostgresStore> {
  const store = new PostgresStore({ ...at, max: 4 });
  onTestFinished(() => store.dispose());
  await store.seed();
  return store;
}

async function idsSeenBy(store: PostgresStore): Promise<number[]> {
  const ids: number[] = [];
  await store.query<Schemas>(({ id }) => ids.push(id));
  return ids;
}

describe("M5: while another transaction holds the append lock", () => {
  test("a commit waits, and its event comes after the holder's", async () => {
    const store = await openStore();
    const holder = await holdFence(name);
    const first = await insertRaw(holder.sql, name, "raw", 0);
    const commit = store.commit("s", [event], meta);
    await waitForWaiters(monitor, 1);

    expect(await stateOf(commit)).toBe("pending");
    expect(await idsSeenBy(store)).toEqual([]);
    await holder.commit();

    const [committed] = await commit;
    expect(await idsSeenBy(store)).toEqual([first, committed?.id]);
    expect(committed?.id).toBeGreaterThan(first);
  });

  test("a rollback lets the commit through", async () => {
    const store = await openStore();
    const holder = await holdFence(name);
    await insertRaw(holder.sql, name, "s", 0);
    const commit = store.commit("s", [event], meta, -1);
    await waitForWaiters(monitor, 1);
    await holder.rollback();

    const [committed] = await commit;
    expect(committed?.version).toBe(0);
    expect(await idsSeenBy(store)).toEqual([committed?.id]);
  });

  test("a guarded commit finds the head that the holder leaves behind", async () => {
    const store = await openStore();
    const holder = await holdFence(name);
    await insertRaw(holder.sql, name, "s", 0);
    const [lost, kept] = [store.commit("s", [event], meta, -1), store.commit("s", [event], meta, 0)];
    const settled = Promise.allSettled([lost, kept]);
    await waitForWaiters(monitor, 1);
    await holder.commit();

    const [first, second] = await settled;
    expect(first).toMatchObject({ status: "rejected", reason: { lastVersion: 0, expectedVersion: -1 } });
    expect(second).toMatchObject({ status: "fulfilled", value: [{ version: 1 }] });
  });

  test("writers are served in the order they came", async () => {
    const store = await openStore();
    const holder = await holdFence(name);
    const second = await openTransaction(name.url);
    const granted = takeFence(second, name);
    await waitForWaiters(monitor, 1);
    const commit = store.commit("s", [event], meta);
    await waitForWaiters(monitor, 2);

    const a = await insertRaw(holder.sql, name, "raw", 0);
    await holder.commit();
    await granted;
    const b = await insertRaw(second.sql, name, "raw", 1);
    expect(await idsSeenBy(store)).toEqual([a]);
    expect(await stateOf(commit)).toBe("pending");
    await second.commit();

    const [committed] = await commit;
    expect(await idsSeenBy(store)).toEqual([a, b, committed?.id]);
  });

  test("truncate waits", async () => {
    const store = await openStore();
    await store.commit("s", [event, event], meta);
    const holder = await holdFence(name);
    const truncate = store.truncate([{ stream: "s" }]);
    await waitForWaiters(monitor, 1);

    expect(await stateOf(truncate)).toBe("pending");
    await insertRaw(holder.sql, name, "s", 2);
    await holder.commit();
    expect((await truncate).get("s")?.deleted).toBe(3);
    expect(await idsSeenBy(store)).toHaveLength(1);
  });

  test("restore waits", async () => {
    const store = await openStore();
    const holder = await holdFence(name);
    const restore = store.restore(async () => {});
    await waitForWaiters(monitor, 1);

    expect(await stateOf(restore)).toBe("pending");
    await insertRaw(holder.sql, name, "s", 0);
    await holder.commit();
    await restore;
    expect(await idsSeenBy(store)).toEqual([]);
  });

  test("reads and subscription verbs go on", async () => {
    const store = await openStore();
    const [first] = await store.commit("s", [event], meta);
    const holder = await holdFence(name);
    const waiting = store.commit("s", [event], meta);
    onTestFinished(async () => {
      await holder.rollback();
      await waiting;
    });
    await waitForWaiters(monitor, 1);

    expect(await idsSeenBy(store)).toEqual([first?.id]);
    expect((await store.subscribe([{ stream: "t", correlated_at: 5 }])).subscribed).toBe(1);
    const leases = await store.claim(1, 0, "w", 10_000);
    expect(await store.ack(leases)).toHaveLength(1);
    expect((await store.query_stats(["s"])).size).toBe(1);
    expect((await store.query_streams(() => {})).count).toBe(1);
    expect(await stateOf(waiting)).toBe("pending");
  });

  test("a store with another table does not wait", async () => {
    const other = await openStore({ ...name, table: `${name.table}_other` });
    const store = await openStore();
    const holder = await holdFence(name);
    onTestFinished(() => holder.rollback());

    expect(await other.commit("s", [event], meta)).toHaveLength(1);
    expect(await idsSeenBy(store)).toEqual([]);
  });
});
