/** Line L13: every verb, over the same streams in every order, from four stores at once. */
import type { Committed, Lease, Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { openTransaction } from "../order/fence.ts";
import { dense, meta, underEveryIsolation, type World } from "./fixture.ts";

const streams = dense(30).map((k) => `t-${k}`);
const event = { name: "Happened", data: {}, pii: { who: "somebody" } };

type Verb = (store: PostgresStore, held: Lease[]) => Promise<unknown>;

/** What workers, correlators and operators do, each to many rows in an order of its own. */
function verbs(world: World): Record<string, Verb> {
  const shuffled = (most = 30) => world.shuffle(streams).slice(0, 1 + world.random(most));
  const by = () => `w${world.random(8)}`;
  const correlator = () => ({ key: `k-${world.random(3)}`, by: by(), millis: world.pick([0, 20, 1_000]) });
  /** What was granted, in another order, and what never was. */
  const leases = (held: Lease[]) => {
    const forged = shuffled(10).map((stream) => ({ stream, by: by(), at: 5, retry: 0, lagging: true }));
    return world
      .shuffle([...held.splice(0), ...forged])
      .map((lease) => ({ ...lease, at: world.random(100) }));
  };
  const claim: Verb = async (store, held) => {
    const lane = world.pick([undefined, undefined, "default", "slow"]);
    held.push(...(await store.claim(10, 5, by(), world.pick([0, 20, 1_000]), lane)));
  };
  const subscribe: Verb = (store) =>
    store.subscribe(
      shuffled().map((stream) => ({
        stream,
        correlated_at: world.random(1_000),
        priority: world.random(5),
        lane: world.pick(["default", "slow"]),
      })),
      world.random(1_000),
      world.pick([undefined, correlator()]),
    );
  const due = () => Date.now() + world.random(20);
  return {
    subscribe,
    subscribeAgain: subscribe,
    claim,
    claimAgain: claim,
    ack: (store, held) => store.ack(unique(leases(held))),
    ackWithDue: (store, held) => store.ack(unique(leases(held)).map((lease) => ({ ...lease, due: due() }))),
    block: (store, held) => store.block(unique(leases(held)).map((lease) => ({ ...lease, error: "poison" }))),
    unblock: (store) => store.unblock(world.pick([{}, { stream: "t-1" }, shuffled()])),
    reset: (store) => store.reset(world.pick([{ blocked: true }, { stream: "^t-2" }, shuffled()])),
    defer: (store) => store.defer(world.pick([{ stream: "^t-1" }, shuffled()]), due()),
    prioritize: (store) =>
      store.prioritize(world.pick([{}, { stream: "^t-1" }, { lane: "slow" }]), world.random(5)),
    correlate: (store) => store.subscribe([], world.random(1_000), correlator()),
    query_streams: (store) => store.query_streams(() => {}, { limit: 20 }),
    query_stats: (store) => store.query_stats({ stream: "^t-1" }, { count: true }),
    commit: (store) => store.commit(world.pick(streams), [event, event], meta),
    truncate: (store) => store.truncate(shuffled(5).map((stream) => ({ stream }))),
    forget_pii: (store) => store.forget_pii(world.pick(streams)),
  };
}

const unique = (leases: Lease[]) => [...new Map(leases.map((lease) => [lease.stream, lease])).values()];

/** Runs so many operations from four stores, eight at a time each; returns what went wrong. */
async function storm(
  world: World,
  stores: readonly PostgresStore[],
  verbsOf: Record<string, Verb>,
  count: number,
) {
  const failures: string[] = [];
  let left = count;
  const worker = async (store: PostgresStore) => {
    const held: Lease[] = [];
    while (left-- > 0) {
      const verb = world.pick(Object.keys(verbsOf));
      await verbsOf[verb]?.(store, held).catch((error: Error) => {
        failures.push(`${verb}: ${error.message}: ${error.cause}`);
      });
    }
  };
  await Promise.all(stores.flatMap((store) => dense(8).map(() => worker(store))));
  return failures;
}

async function disposeAll(stores: readonly PostgresStore[]): Promise<void> {
  await Promise.all(stores.map((store) => store.dispose()));
}

underEveryIsolation("Verbs in shuffled order", (world) => {
  test("L13: thousands of operations from four stores, no deadlock, no error", async () => {
    const stores = await world.stores(world.table(), 4);
    await stores[0].subscribe(streams.map((stream) => ({ stream, correlated_at: 10 })));
    const before =
      await world.sql`select deadlocks::int from pg_stat_database where datname = current_database()`;

    expect(await storm(world, stores, verbs(world), world.scale(5_000, 1_000))).toEqual([]);
    await disposeAll(stores);
    expect(await world.deadlocks()).toBe(before[0]?.deadlocks);
  });

  test("L13: restores among them do no harm either", async () => {
    const stores = await world.stores(world.table(), 4);
    const before =
      await world.sql`select deadlocks::int from pg_stat_database where datname = current_database()`;
    const restore: Verb = (store) =>
      store.restore(async (insert) => {
        for (const [k, stream] of streams.entries()) {
          const event: Committed<Schemas, keyof Schemas> = {
            ...{ id: k, stream, version: 0, name: "Restored", data: {} },
            ...{ created: new Date(0), meta },
          };
          await insert(event);
        }
      });

    expect(await storm(world, stores, { ...verbs(world), restore }, world.scale(1_500, 300))).toEqual([]);
    await disposeAll(stores);
    expect(await world.deadlocks()).toBe(before[0]?.deadlocks);
  });

  test("and a deadlock would be counted", async () => {
    const name = world.table();
    const [store] = await world.stores(name, 1);
    await store.subscribe(["a", "b"].map((stream) => ({ stream })));
    await store.dispose();
    const before = await world.deadlocks();
    const [one, two] = [await openTransaction(name.url), await openTransaction(name.url)];
    const lock = (stream: string) =>
      `update "${name.schema}"."${name.table}_streams" set retry = 0 where stream = '${stream}'`;
    await one.sql.unsafe(lock("a"));
    await two.sql.unsafe(lock("b"));
    const settled = await Promise.allSettled([one.sql.unsafe(lock("b")), two.sql.unsafe(lock("a"))]);
    await Promise.all([one.rollback(), two.rollback()]);

    expect(settled.filter(({ status }) => status === "rejected")).toMatchObject([
      { reason: { code: "40P01" } },
    ]);
    expect(await world.deadlocks()).toBe(before + 1);
  });
});
