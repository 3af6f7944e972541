/** Line L13: every verb, over the same streams in every order, from four stores at once. */
import type { Committed, Lease, Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { openTransaction } from "../order/fence.ts";
import { type AppFixture, dense, meta, underEveryIsolation } from "./fixture.ts";

const streams = dense(30).map((k) => `t-${k}`);
const event = { name: "Happened", data: {}, pii: { who: "somebody" } };

type Verb = (store: PostgresStore, held: Lease[]) => Promise<unknown>;

/** What workers, correlators and operators do, each to many rows in an order of its own. */
function verbs(fixture: AppFixture): Record<string, Verb> {
  const shuffled = (most = 30) => fixture.shuffle(streams).slice(0, 1 + fixture.random(most));
  const by = () => `w${fixture.random(8)}`;
  const correlator = () => ({
    key: `k-${fixture.random(3)}`,
    by: by(),
    millis: fixture.pick([0, 20, 1_000]),
  });
  /** What was granted, in another order, and what never was. */
  const leases = (held: Lease[]) => {
    const forged = shuffled(10).map((stream) => ({ stream, by: by(), at: 5, retry: 0, lagging: true }));
    return fixture
      .shuffle([...held.splice(0), ...forged])
      .map((lease) => ({ ...lease, at: fixture.random(100) }));
  };
  const claim: Verb = async (store, held) => {
    const lane = fixture.pick([undefined, undefined, "default", "slow"]);
    held.push(...(await store.claim(10, 5, by(), fixture.pick([0, 20, 1_000]), lane)));
  };
  const subscribe: Verb = (store) =>
    store.subscribe(
      shuffled().map((stream) => ({
        stream,
        correlated_at: fixture.random(1_000),
        priority: fixture.random(5),
        lane: fixture.pick(["default", "slow"]),
      })),
      fixture.random(1_000),
      fixture.pick([undefined, correlator()]),
    );
  const due = () => Date.now() + fixture.random(20);
  return {
    subscribe,
    subscribeAgain: subscribe,
    claim,
    claimAgain: claim,
    ack: (store, held) => store.ack(unique(leases(held))),
    ackWithDue: (store, held) => store.ack(unique(leases(held)).map((lease) => ({ ...lease, due: due() }))),
    block: (store, held) => store.block(unique(leases(held)).map((lease) => ({ ...lease, error: "poison" }))),
    unblock: (store) => store.unblock(fixture.pick([{}, { stream: "t-1" }, shuffled()])),
    reset: (store) => store.reset(fixture.pick([{ blocked: true }, { stream: "^t-2" }, shuffled()])),
    defer: (store) => store.defer(fixture.pick([{ stream: "^t-1" }, shuffled()]), due()),
    prioritize: (store) =>
      store.prioritize(fixture.pick([{}, { stream: "^t-1" }, { lane: "slow" }]), fixture.random(5)),
    correlate: (store) => store.subscribe([], fixture.random(1_000), correlator()),
    query_streams: (store) => store.query_streams(() => {}, { limit: 20 }),
    query_stats: (store) => store.query_stats({ stream: "^t-1" }, { count: true }),
    commit: (store) => store.commit(fixture.pick(streams), [event, event], meta),
    truncate: (store) => store.truncate(shuffled(5).map((stream) => ({ stream }))),
    forget_pii: (store) => store.forget_pii(fixture.pick(streams)),
  };
}

const unique = (leases: Lease[]) => [...new Map(leases.map((lease) => [lease.stream, lease])).values()];

/** Runs so many operations from four stores, eight at a time each; returns what went wrong. */
async function storm(
  fixture: AppFixture,
  stores: readonly PostgresStore[],
  verbsOf: Record<string, Verb>,
  count: number,
) {
  const failures: string[] = [];
  let left = count;
  const worker = async (store: PostgresStore) => {
    const held: Lease[] = [];
    while (left-- > 0) {
      const verb = fixture.pick(Object.keys(verbsOf));
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

underEveryIsolation("Verbs in shuffled order", (fixture) => {
  test("L13: thousands of operations from four stores, no deadlock, no error", async () => {
    const stores = await fixture.stores(fixture.table(), 4);
    await stores[0].subscribe(streams.map((stream) => ({ stream, correlated_at: 10 })));
    const before =
      await fixture.sql`select deadlocks::int from pg_stat_database where datname = current_database()`;

    expect(await storm(fixture, stores, verbs(fixture), fixture.scale(5_000, 1_000))).toEqual([]);
    await disposeAll(stores);
    expect(await fixture.deadlocks()).toBe(before[0]?.deadlocks);
  });

  test("L13: restores among them do no harm either", async () => {
    const stores = await fixture.stores(fixture.table(), 4);
    const before =
      await fixture.sql`select deadlocks::int from pg_stat_database where datname = current_database()`;
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

    expect(await storm(fixture, stores, { ...verbs(fixture), restore }, fixture.scale(1_500, 300))).toEqual(
      [],
    );
    await disposeAll(stores);
    expect(await fixture.deadlocks()).toBe(before[0]?.deadlocks);
  });

  test("and a deadlock would be counted", async () => {
    const name = fixture.table();
    const [store] = await fixture.stores(name, 1);
    await store.subscribe(["a", "b"].map((stream) => ({ stream })));
    await store.dispose();
    const before = await fixture.deadlocks();
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
    expect(await fixture.deadlocks()).toBe(before + 1);
  });
});
