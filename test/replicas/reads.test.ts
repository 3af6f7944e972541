/** Reads from standbys: never behind what the process has seen, and from the primary when no standby will do. */
import { ConcurrencyError } from "@rotorsoft/act";
import { afterEach, describe, expect, test } from "vitest";
import { PostgresDatabase, PostgresStore, seedAll } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { titled } from "../faults/failover/programs.ts";
import { admitted, ask, meta, namesIn, readsOf, reason, tools, useCluster } from "./cluster.ts";

const event = (name: string) => ({ name, data: {} });

describe.skipIf(!tools)(titled("replicas", reason), () => {
  const cluster = useCluster();
  afterEach(() => cluster.release());

  /** A pair whose replicas are in use and held: the first event is on them, what comes later is not. */
  async function held(options = {}) {
    const { store, other } = await cluster.pair(options);
    const [first] = await other.commit("s", [event("First")], meta);
    await cluster.replayed();
    await admitted(store);
    await cluster.hold();
    return { store, other, first };
  }

  test("answer query and query_stats, and are told of by health", async () => {
    const { store, other } = await cluster.pair();
    await other.commit("s", [event("A"), event("B")], meta);
    await cluster.replayed();
    await admitted(store);
    const before = await readsOf(store);
    expect(await namesIn(store)).toEqual(["A", "B"]);
    expect((await store.query_stats(["s"], { count: true })).get("s")).toMatchObject({ count: 2 });
    expect(await readsOf(store)).toBe(before + 2);
    const { replicas, ok } = await store.health({ deep: true });
    expect(ok).toBe(true);
    expect(replicas.map(({ address }) => address)).toEqual(
      cluster.standbys.map(({ port }) => `127.0.0.1:${port}`),
    );
    expect(replicas).toMatchObject([
      { up: true, lagMs: 0, problem: undefined },
      { up: true, lagMs: 0, problem: undefined },
    ]);
  });

  test("show an older state to a process that has seen nothing newer, and sawEvent() ends that", async () => {
    const { store, other } = await held();
    const [second] = await other.commit("s", [event("Second")], meta);
    expect(await namesIn(store)).toEqual(["First"]);
    store.sawEvent(second?.id ?? 0);
    expect(await namesIn(store)).toEqual(["First", "Second"]);
    expect((await store.query_stats(["s"])).get("s")?.head.name).toBe("Second");
  });

  test("do not hide what the process itself has committed", async () => {
    const { store } = await held();
    await store.commit("s", [event("Own")], meta);
    expect(await namesIn(store)).toEqual(["First", "Own"]);
    await cluster.release();
    const before = await readsOf(store);
    await eventually(async () => (await namesIn(store)).length === 2 && (await readsOf(store)) > before);
  });

  test("do not answer for what comes after an event that they lack", async () => {
    const { store, other } = await held();
    const [second] = await other.commit("s", [event("Second")], meta);
    await other.commit("s", [event("Third")], meta);
    const names: string[] = [];
    await store.query(({ name }) => void names.push(String(name)), { after: second?.id ?? 0 });
    expect(names).toEqual(["Third"]);
    // What was read from the primary counts as seen.
    expect(await namesIn(store)).toEqual(["First", "Second", "Third"]);
  });

  test("do not hide what the process was told of by a notification", async () => {
    const { store, other } = await held({ notify: true });
    const announcing = cluster.open({ schema: other.config.schema, notify: true, replicas: [] });
    const told = Promise.withResolvers<void>();
    const stop = await store.notify?.(() => told.resolve());
    await announcing.commit("s", [event("Second")], meta);
    await told.promise;
    expect(await namesIn(store)).toEqual(["First", "Second"]);
    await stop?.();
  });

  test("show the holder of a lease all that it has to handle", async () => {
    const { store, other } = await held();
    const [second] = await other.commit("s", [event("Second")], meta);
    await other.subscribe([{ stream: "target", source: "s", correlated_at: second?.id ?? 0 }], second?.id);
    expect(await store.claim(1, 0, "worker", 10_000)).toMatchObject([{ stream: "target", at: -1 }]);
    expect(await namesIn(store)).toEqual(["First", "Second"]);
  });

  test("do not hide from a correlator what the checkpoint stands for", async () => {
    const { store, other } = await held();
    const [second] = await other.commit("s", [event("Second")], meta);
    await other.subscribe([], second?.id);
    await store.subscribe([]);
    expect(await namesIn(store)).toEqual(["First", "Second"]);
  });

  test("do not hide the event that a commit came into conflict with", async () => {
    const { store, other } = await held();
    await other.commit("s", [event("Second")], meta);
    await expect(store.commit("s", [event("Third")], meta, 0)).rejects.toThrow(ConcurrencyError);
    expect(await namesIn(store)).toEqual(["First", "Second"]);
    await expect(store.commit("s", [event("Third")], meta, 1)).resolves.toHaveLength(1);
  });

  test.each([
    ["truncate", (store: PostgresStore) => store.truncate([{ stream: "s" }]), ["__tombstone__"]],
    [
      "restore",
      (store: PostgresStore) =>
        store.restore(async (insert) => {
          await insert({ ...event("Restored"), id: 1, stream: "r", version: 0, created: new Date(0), meta });
        }),
      ["Restored"],
    ],
  ] as const)(
    "do not show what was there before a %s of the process itself",
    async (_verb, change, expected) => {
      const { store } = await held();
      await change(store);
      expect(await namesIn(store)).toEqual(expected);
      // Also once the position of the change is known.
      await eventually(async () => (await namesIn(store)).length === expected.length, { within: 1_000 });
      expect(await namesIn(store)).toEqual(expected);
      await cluster.release();
      const before = await readsOf(store);
      await eventually(async () => {
        expect(await namesIn(store)).toEqual(expected);
        return (await readsOf(store)) > before;
      });
    },
  );

  test("do not show pii that the process itself has erased", async () => {
    const { store, other } = await cluster.pair();
    await other.commit("s", [{ ...event("A"), pii: { name: "Ann" } }], meta);
    await cluster.replayed();
    await admitted(store);
    await cluster.hold();
    expect(await store.forget_pii("s")).toBe(1);
    const found: unknown[] = [];
    for (let look = 0; look < 20; look++) await store.query(({ pii }) => void found.push(pii));
    expect(found.filter(Boolean)).toEqual([]);
  });

  test("are not read when they lag too much, also by one who has seen nothing", async () => {
    const { store, other } = await held({ replicaLagMillis: 300 });
    await other.commit("s", [event("Second")], meta);
    await eventually(async () => (await namesIn(store)).length === 2);
    await cluster.release();
    const before = await readsOf(store);
    await eventually(async () => (await namesIn(store)).length === 2 && (await readsOf(store)) > before);
  });

  test("are asked again after an id was named that the log does not have", async () => {
    const { store, other } = await cluster.pair();
    await other.commit("s", [event("A")], meta);
    await cluster.replayed();
    await admitted(store);
    store.sawEvent(Number.MAX_SAFE_INTEGER);
    expect(await namesIn(store)).toEqual(["A"]);
    const before = await readsOf(store);
    await eventually(async () => (await namesIn(store)).length === 1 && (await readsOf(store)) > before);
    // From the log's last event on it counts again.
    await cluster.hold();
    const [second] = await other.commit("s", [event("B")], meta);
    store.sawEvent(second?.id ?? 0);
    expect(await namesIn(store)).toEqual(["A", "B"]);
  });

  test("each read shows the process's own commits, under load over two standbys", async () => {
    const { store, other } = await cluster.pair({ max: 8 });
    await other.commit("warm", [event("A")], meta);
    await cluster.replayed();
    await admitted(store);
    const before = await readsOf(store);
    let behind = 0;
    const client = async (n: number) => {
      for (let version = 0; version < 40; version++) {
        await store.commit(`s-${n}`, [event("E")], meta, version - 1);
        for (let look = 0; look < 3; look++) {
          const found = await store.query(() => {}, {
            stream: `s-${n}`,
            stream_exact: true,
            with_snaps: true,
          });
          if (found !== version + 1) behind++;
        }
      }
    };
    const holding = (async () => {
      const [one] = cluster.standbys;
      if (!one) return;
      for (let turn = 0; turn < 5; turn++) {
        await ask(one, "select pg_wal_replay_pause()");
        await ask(one, "select pg_wal_replay_resume()");
      }
    })();
    await Promise.all(Array.from({ length: 8 }, (_, n) => client(n)));
    await holding;
    expect(behind).toBe(0);
    expect(await readsOf(store)).toBeGreaterThan(before);
  });

  test("a server that is no standby is not read", async () => {
    const { store, other } = await cluster.pair({ replicas: [cluster.primary.url] });
    await other.commit("s", [event("A")], meta);
    await eventually(async () => {
      expect(await namesIn(store)).toEqual(["A"]);
      const { replicas } = await store.health();
      return replicas[0]?.problem === "it is no standby";
    });
    expect(await readsOf(store)).toBe(0);
  });

  test("tenants share the connections to the replicas, and each has what it has seen", async () => {
    const database = new PostgresDatabase({
      url: cluster.primary.url,
      replicas: cluster.urls,
      max: 3,
      application_name: "tenants",
    });
    try {
      const stores = Array.from(
        { length: 20 },
        (_, n) => new PostgresStore({ database, schema: `tenant_${n}` }),
      );
      await seedAll(stores);
      await cluster.replayed();
      await Promise.all(
        stores.map(async (store, n) => {
          for (let turn = 0; turn < 10; turn++) {
            await store.commit("s", [event(`E${n}`)], meta);
            expect(await namesIn(store)).toEqual(Array.from({ length: turn + 1 }, () => `E${n}`));
          }
        }),
      );
      await cluster.replayed();
      await eventually(async () => (await Promise.all(stores.map(admitted))).length === 20);
      for (const standby of cluster.standbys) {
        const [row] = await ask(
          standby,
          "select count(*)::int as count from pg_stat_activity where application_name = 'tenants'",
        );
        expect(row?.count).toBeLessThanOrEqual(3);
        expect(row?.count).toBeGreaterThan(0);
      }
    } finally {
      await database.dispose();
    }
  });
});
