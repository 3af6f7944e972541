/** Many workers at once: nothing lost, nothing held twice, no deadlock. */
import type { Lease, Store } from "@rotorsoft/act";
import type postgres from "postgres";
import { expect } from "vitest";
import { eventually, within } from "./kit/eventually.ts";
import { backendsOf, openTransaction, rowWaiters, storedOf, tablesOf } from "./kit/postgres.ts";
import { append, at, claimAll, leaseOf, MINUTE, pending, positions, streamsOf } from "./kit/scenario.ts";
import { type RawAccess, section } from "./kit/section.ts";

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

/** A repeatable sequence of numbers below 1 (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function shuffled<T>(items: readonly T[], next: () => number): T[] {
  return items
    .map((item) => [next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

/** Claims and acks until every stream stands at the mark; fails when two hold one stream. */
async function work(store: Store, by: string, held: Map<string, string>, mark: number): Promise<number> {
  let acked = 0;
  for (let idle = 0; idle < 5; ) {
    const leases = await store.claim(2, 1, by, MINUTE);
    if (leases.length === 0) {
      idle += 1;
      await new Promise(setImmediate);
      continue;
    }
    idle = 0;
    for (const { stream } of leases) {
      expect(held.get(stream), `holder of ${stream}`).toBeUndefined();
      held.set(stream, by);
    }
    // Long enough for others to claim what they must not.
    await new Promise(setImmediate);
    const done: Lease[] = leases.map((lease) => ({ ...lease, at: Math.min(mark, lease.at + 2) }));
    for (const { stream } of leases) held.delete(stream);
    acked += (await store.ack(done)).length;
    expect(leases.every((lease) => lease.retry === 0)).toBe(true);
  }
  return acked;
}

/** Nine workers run random verbs over random streams, each in its own order. */
async function shuffle(stores: readonly Store[], rounds: number) {
  const next = random(20_260_101);
  const names = upTo(30).map((n) => `s${n}`);
  const some = () => shuffled(names, next).slice(0, 12);
  const later = Date.now() + MINUTE;
  const verbs: Array<(each: Store, by: string) => Promise<unknown>> = [
    (each) => each.subscribe(some().map((stream, n) => ({ stream, priority: n, correlated_at: 1e6 + n }))),
    async (each, by) => each.ack(shuffled(await each.claim(8, 4, by, MINUTE), next)),
    async (each, by) => {
      const leases = shuffled(await each.claim(4, 0, by, MINUTE), next);
      await each.block(leases.map((lease) => ({ ...lease, error: "e" })));
      await each.ack(leases.map((lease) => ({ ...lease, at: 1, due: later })));
    },
    (each) => each.reset(some()),
    (each) => each.defer(some(), 1),
    (each) => each.unblock(some()),
    (each) => each.defer({ stream: "^s1" }, 1),
    (each) => each.prioritize({ stream: "[0-4]$" }, Math.floor(next() * 5)),
    (each) => each.reset({ blocked: true }),
    (each) => each.unblock({}),
  ];
  await pending(at(stores, 0), ...names);
  return Promise.allSettled(
    upTo(9).map(async (worker) => {
      const each = at(stores, worker % stores.length);
      for (let round = 0; round < rounds; round++) {
        await at(verbs, Math.floor(next() * verbs.length))(each, `w${worker}`);
      }
    }),
  );
}

/**
 * Deadlocks over subscriptions that their server has broken in its database, beyond those already known. PostgreSQL 14 answers from a file
 * that it writes from time to time: one that is newer than the question is waited for.
 */
async function deadlocksSince(raw: RawAccess, known: number): Promise<number> {
  const { sql } = await storedOf(raw, `${raw.table}_streams`);
  const [now] = await sql<Array<{ at: string }>>`select clock_timestamp()::text as at`;
  const row = await eventually(async () => {
    const [found] = await sql<Array<{ count: number; fresh: boolean }>>`
      select deadlocks::float8 as count, case when current_setting('server_version_num')::int >= 150000 then true
        else pg_stat_get_snapshot_timestamp() > ${now?.at ?? ""}::text::timestamptz end as fresh
      from pg_stat_database where datname = current_database()`;
    return found?.fresh === true ? found : undefined;
  });
  return row.count - known;
}

export const workers = section("workers", (line) => {
  line("L12", "workers of one process bring every stream to its mark, each step once", async ({ store }) => {
    await store.subscribe(upTo(12).map((n) => ({ stream: `s${n}`, correlated_at: 9, priority: n % 3 })));
    const held = new Map<string, string>();
    const steps = await Promise.all(["w1", "w2", "w3", "w4"].map((by) => work(store, by, held, 9)));
    expect((await positions(store)).map((row) => row.at)).toEqual(Array(12).fill(9));
    expect(steps.reduce((sum, count) => sum + count, 0)).toBe(12 * 5);
  });

  line(
    "L12",
    "workers of two processes bring every stream to its mark, each step once",
    {
      needs: ["shared"],
      timeout: 20_000,
    },
    async ({ store, second }) => {
      const stores = [store, await second()];
      await store.subscribe(upTo(12).map((n) => ({ stream: `s${n}`, correlated_at: 9, priority: n % 3 })));
      const held = new Map<string, string>();
      const steps = await Promise.all(upTo(6).map((n) => work(at(stores, n % 2), `w${n}`, held, 9)));
      expect((await positions(store)).map((row) => row.at)).toEqual(Array(12).fill(9));
      expect(steps.reduce((sum, count) => sum + count, 0)).toBe(12 * 5);
    },
  );

  line("L12", "a claim that was never acked is claimed again, at the same watermark", async ({ store }) => {
    await pending(store, "a");
    await store.ack([{ ...(await leaseOf(store, "a")), at: 4 }]);
    await leaseOf(store, "a", "crashed", 0);
    expect(await leaseOf(store, "a", "successor")).toMatchObject({ at: 4, retry: 1 });
  });

  line("L12", "a mark that rises while the stream is leased is not lost", async ({ store }) => {
    await store.subscribe([{ stream: "a", correlated_at: 3 }]);
    const lease = await leaseOf(store, "a");
    await store.subscribe([{ stream: "a", correlated_at: 7 }]);
    await store.ack([{ ...lease, at: 3 }]);
    expect(await leaseOf(store, "a")).toMatchObject({ at: 3 });
  });

  line("L12", "a stream that is blocked while others claim is never claimed again", async ({ store }) => {
    await pending(store, ...upTo(10).map((n) => `s${n}`));
    const blockedStreams = new Set<string>();
    const claims: string[] = [];
    await Promise.all(
      upTo(4).map(async (worker) => {
        for (let round = 0; round < 15; round++) {
          const known = new Set(blockedStreams);
          const leases = await store.claim(3, 0, `w${worker}`, MINUTE);
          claims.push(...streamsOf(leases).filter((stream) => known.has(stream)));
          const [bad, ...good] = leases;
          if (bad && round % 5 === worker) {
            await store.block([{ ...bad, error: "poison" }]);
            blockedStreams.add(bad.stream);
          } else if (bad) good.push(bad);
          await store.ack(good);
        }
      }),
    );
    expect(blockedStreams.size).toBeGreaterThan(0);
    expect(claims).toEqual([]);
    expect(streamsOf(await positions(store, { blocked: true }))).toEqual([...blockedStreams].sort());
  });

  line(
    "L13",
    "verbs over the same streams in shuffled order all succeed",
    { needs: ["shared"], timeout: 30_000 },
    async ({ store, second }) => {
      const outcomes = await shuffle([store, await second(), await second()], 40);
      expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([]);
    },
  );

  line(
    "L13",
    "verbs over the same streams in shuffled order leave the server no deadlock to break",
    { needs: ["shared", "sql"], timeout: 30_000 },
    async ({ store, second, raw }) => {
      // Retries would hide deadlocks; the server's count, complete once the connections are closed, does not.
      const stores = [store, await second(), await second()];
      const before = await deadlocksSince(raw, 0);
      await shuffle(stores, 40);
      await Promise.all(stores.map((each) => each.dispose()));
      await eventually(async () => (await backendsOf(raw, raw.table)).length === 0);
      expect(await deadlocksSince(raw, before)).toBe(0);
    },
  );

  line(
    "L13",
    "a deadlock with a foreign transaction is retried, not surfaced",
    { needs: ["sql"], timeout: 20_000 },
    async (fixture) => {
      const { store, raw } = fixture;
      const streams = await storedOf(raw, `${raw.table}_streams`);
      await pending(store, "a", "b");
      // The other side holds "b" and then wants "a", the store holds "a" and waits for "b". Of the two only
      // the store looks for deadlocks in time, so the server ends the store's statement, not the other's.
      const write = (sql: postgres.Sql, stream: string) =>
        sql.unsafe(`update ${streams.name} set priority = 1 where stream = '${stream}'`);
      const other = await openTransaction(
        raw,
        async (sql) => {
          await sql`set local deadlock_timeout = '30s'`;
          await write(sql, "b");
        },
        streams.url,
      );
      const resetting = store.reset(["b", "a"]);
      await rowWaiters(streams);
      await within(8_000, "the other side", write(other.sql, "a"));
      await other.commit();
      expect(await within(8_000, "the reset", resetting)).toBe(2);
      expect((await positions(store)).map((row) => row.priority)).toEqual([1, 1]);
    },
  );

  line(
    "L13",
    "an ack waits for a row that another transaction holds, and lands",
    { needs: ["sql"] },
    async (fixture) => {
      const { store, raw } = fixture;
      const { streams } = tablesOf(raw);
      await pending(store, "a", "b");
      const leases = (await claimAll(store)).map((lease) => ({ ...lease, at: 3 }));
      const holder = await openTransaction(
        raw,
        (sql) => sql`select from ${streams} where stream = 'a' for update`,
      );
      const acking = store.ack(leases);
      await rowWaiters(await storedOf(raw, `${raw.table}_streams`));
      await holder.commit();
      expect(await within(8_000, "the ack", acking)).toHaveLength(2);
    },
  );

  line(
    "L13",
    "what the server undoes because of others is run again, whatever the verb",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      await pending(store, "a");
      await append(store, "s", "A");
      const own = `${raw.schema}.${raw.table}`;
      const events = await storedOf(raw);
      const streams = await storedOf(raw, `${raw.table}_streams`);
      const { sql } = streams;
      await sql.unsafe(`create sequence ${own}_n;
      create function ${own}_f() returns trigger language plpgsql as $$ begin
        if nextval('${own}_n') = 1 then
          raise exception using errcode = '40001'; end if; return null; end $$`);
      for (const { name } of [events, streams])
        await sql.unsafe(`create trigger undo after insert or update or delete on ${name}
        for each statement execute function ${own}_f()`);
      const once = () => sql.unsafe(`alter sequence ${own}_n restart`);
      expect(await store.reset(["a"])).toBe(1);
      await once();
      expect(await store.claim(1, 0, "w", MINUTE)).toHaveLength(1);
      await once();
      expect((await store.truncate([{ stream: "s" }])).get("s")?.deleted).toBe(1);
      await once();
      expect(await append(store, "s", "B")).toHaveLength(1);
    },
  );
});
