/** Lines L3 to L6 and L12: who may work on a stream, when many ask. */
import type { Lease, StreamPosition } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { openTransaction, until } from "../order/fence.ts";
import { dense, underEveryIsolation } from "./fixture.ts";

const LONG = 600_000;
const names = (count: number) => dense(count).map((k) => `t-${String(k).padStart(3, "0")}`);

async function positions(store: PostgresStore): Promise<Map<string, StreamPosition>> {
  const found = new Map<string, StreamPosition>();
  await store.query_streams((p) => found.set(p.stream, p), { limit: 10_000 });
  return found;
}

underEveryIsolation("Claims", (fixture) => {
  test("L5: two workers that ask for 5 of 20 streams at once get 5 each, all different", async () => {
    const stores = await fixture.stores(fixture.table(), 2);
    await stores[0].subscribe(names(20).map((stream) => ({ stream, correlated_at: 10 })));
    for (let round = 0; round < fixture.scale(100, 15); round++) {
      const claims = await Promise.all(stores.map((store, w) => store.claim(5, 0, `w${w}`, LONG)));

      expect(claims.map((leases) => leases.length)).toEqual([5, 5]);
      expect(new Set(claims.flat().map(({ stream }) => stream)).size).toBe(10);
      await stores[0].reset(names(20));
    }
  });

  test("L5: a claim goes round the rows that another transaction holds, without waiting for it", async () => {
    const name = fixture.table();
    const [store] = await fixture.stores(name, 1);
    await store.subscribe(names(20).map((stream, k) => ({ stream, correlated_at: 10, priority: 20 - k })));
    const other = await openTransaction(name.url);
    onTestFinished(() => other.rollback());
    const table = `"${name.schema}"."${name.table}_streams"`;
    await other.sql.unsafe(`select 1 from ${table} where stream < 't-005' for update`);

    const claimed = await store.claim(4, 0, "w", LONG);
    expect(claimed.map(({ stream }) => stream).sort()).toEqual(["t-005", "t-006", "t-007", "t-008"]);
  });

  test("L5: a row that another claim takes meanwhile is looked at again and left alone", async () => {
    const name = fixture.table();
    const [store] = await fixture.stores(name, 1);
    const table = `"${name.schema}"."${name.table}_streams"`;
    for (let round = 0; round < fixture.scale(20, 5); round++) {
      await store.reset({});
      await store.subscribe(names(3).map((stream) => ({ stream, correlated_at: 10 })));
      const other = await openTransaction(name.url);
      await other.sql.unsafe(
        `update ${table} set leased_by = 'other', leased_until = now() + interval '1 hour' where stream = 't-001'`,
      );
      const [claimed] = await Promise.all([store.claim(3, 3, "w", LONG), other.commit()]);

      expect(claimed.map(({ stream }) => stream).sort()).toEqual(["t-000", "t-002"]);
      expect((await positions(store)).get("t-001")?.leased_by).toBe("other");
    }
  });

  test("L5: eight workers share out all there is, none twice, none left over", async () => {
    const stores = await fixture.stores(fixture.table(), 8);
    await stores[0].subscribe(names(64).map((stream) => ({ stream, correlated_at: 10 })));
    for (let round = 0; round < fixture.scale(25, 5); round++) {
      const granted: Lease[] = [];
      await Promise.all(
        stores.map(async (store, w) => {
          for (;;) {
            const leases = await store.claim(4, 2, `w${w}`, LONG);
            if (leases.length === 0) return;
            granted.push(...leases);
          }
        }),
      );
      // Who came back empty found every row leased, or held by one of seven claims of six at most.
      expect(granted.length).toBeGreaterThanOrEqual(64 - 7 * 6);
      // A claim may come back empty while others hold the rows it looked at; what is left is still claimable.
      granted.push(...(await stores[0].claim(64, 64, "w0", LONG)));

      expect(granted.map(({ stream }) => stream).sort()).toEqual(names(64));
      const held = await positions(stores[0]);
      for (const { stream, by } of granted) expect(held.get(stream)?.leased_by).toBe(by);
      await stores[0].reset({});
    }
  });

  test("L12: eight workers carry every stream to its mark, one holder at a time, forward only", async () => {
    const stores = await fixture.stores(fixture.table(), 8);
    const streams = names(fixture.scale(40, 12));
    const mark = fixture.scale(30, 10);
    await stores[0].subscribe(streams.map((stream) => ({ stream, correlated_at: mark })));
    /** From the moment a grant arrives until its ack is sent, nobody else may be granted the stream. */
    const holders = new Map<string, string>();
    const reached = new Map(streams.map((stream) => [stream, -1]));
    const blocked = new Set<string>();
    let acks = 0;

    const work = async (store: PostgresStore, by: string) => {
      for (let idle = 0; idle < 3; ) {
        const leases = await store.claim(4, 2, by, LONG);
        idle = leases.length === 0 ? idle + 1 : 0;
        for (const lease of leases) {
          expect(holders.get(lease.stream), `${lease.stream} has two holders`).toBeUndefined();
          expect(blocked, "a blocked stream was claimed").not.toContain(lease.stream);
          expect(lease).toMatchObject({ by, at: reached.get(lease.stream), retry: 0 });
          holders.set(lease.stream, by);
        }
        // As an app does: it reads while it holds the streams, and the others claim meanwhile.
        if (leases.length > 0) await store.query(() => {}, { limit: 1 });
        const poisoned = leases.filter(() => fixture.random(40) === 0);
        const blocks = await store.block(poisoned.map((lease) => ({ ...lease, error: "poison" })));
        expect(blocks).toHaveLength(poisoned.length);
        for (const { stream } of blocks) {
          blocked.add(stream);
          holders.delete(stream);
        }
        const done = fixture
          .shuffle(leases.filter((lease) => !poisoned.includes(lease)))
          .map((lease) => ({ ...lease, at: Math.min(mark, lease.at + 1 + fixture.random(4)) }));
        for (const { stream, at } of done) {
          holders.delete(stream);
          reached.set(stream, at);
        }
        const acked = await store.ack(done);
        expect(acked.map(({ stream, at }) => [stream, at]).sort()).toEqual(
          done.map(({ stream, at }) => [stream, at]).sort(),
        );
        acks += acked.length;
      }
    };
    const everybody = () => Promise.all(stores.map((store, w) => work(store, `w${w}`)));
    await everybody();
    // Blocked streams wait for an operator, then go on from where they were.
    while (blocked.size > 0) {
      const freed = [...blocked];
      blocked.clear();
      expect(await stores[0].unblock(freed)).toBe(freed.length);
      await everybody();
    }
    await everybody();

    expect(acks).toBeGreaterThan(streams.length);
    for (const position of (await positions(stores[0])).values()) {
      expect(position).toMatchObject({ at: mark, blocked: false, retry: -1 });
      expect(position.leased_by).toBeUndefined();
    }
  });

  test("L5, L6: an expired lease goes to one racer, and the late ack of the first holder is ignored", async () => {
    const stores = await fixture.stores(fixture.table(), 8);
    const streams = names(16);
    await stores[0].subscribe(streams.map((stream) => ({ stream, correlated_at: 100 })));
    for (let round = 0; round < fixture.scale(20, 4); round++) {
      const expired = await stores[0].claim(16, 0, "late", 0);
      expect(expired).toHaveLength(16);
      const grants = (await Promise.all(stores.map((store, w) => store.claim(16, 16, `w${w}`, LONG)))).flat();

      expect(grants.length).toBeGreaterThan(0);
      expect(new Set(grants.map(({ stream }) => stream)).size).toBe(grants.length);
      const taken = new Set(grants.map(({ stream }) => stream));
      const late = await stores[0].ack(expired.map((lease) => ({ ...lease, at: 99 })));
      // Where nobody came after the lease was over, its holder is still the recorded one (L4).
      expect(late.map(({ stream }) => stream).sort()).toEqual(streams.filter((s) => !taken.has(s)));
      const own = await stores[0].ack(grants.map((lease) => ({ ...lease, at: round })));
      expect(own.length).toBe(grants.length);
      for (const [stream, { at }] of await positions(stores[0]))
        expect(at).toBe(taken.has(stream) ? round : 99);
      await stores[0].reset({});
    }
  });

  test("L5, S7: a lease that time has ended goes to one racer", async () => {
    const name = fixture.table();
    const stores = await fixture.stores(name, 8);
    await stores[0].subscribe(names(16).map((stream) => ({ stream, correlated_at: 100 })));
    const over = (table: string) => async () => {
      const [row] = await fixture.sql.unsafe(
        `select count(*)::int as live from "${name.schema}"."${name.table}_${table}"
         where leased_by like 'slow%' and leased_until >= clock_timestamp()`,
      );
      return row?.live === 0;
    };
    for (let round = 0; round < fixture.scale(5, 2); round++) {
      expect(await stores[0].claim(16, 0, "slow", 30)).toHaveLength(16);
      const key = `k-${round}`;
      const first = { key, by: "slow", millis: 30 };
      expect(await stores[0].subscribe([], undefined, first)).toMatchObject({ correlating: true });
      await until("the leases of streams run out", over("streams"));
      await until("the lease of the correlator runs out", over("correlated"));
      const [claims, correlators] = await Promise.all([
        Promise.all(stores.map((store, w) => store.claim(16, 0, `w${w}`, LONG))),
        Promise.all(
          stores.map((store, w) => store.subscribe([], undefined, { key, by: `w${w}`, millis: LONG })),
        ),
      ]);

      const granted = claims.flat().map(({ stream }) => stream);
      expect(new Set(granted).size).toBe(granted.length);
      expect(granted.length).toBeGreaterThan(0);
      expect(correlators.filter(({ correlating }) => correlating)).toHaveLength(1);
      await stores[0].reset({});
    }
  });

  test("L5: a late ack and the claim that takes the lease over: one of them has the stream", async () => {
    const [first, second] = await fixture.pair(fixture.table());
    const streams = names(8);
    await first.subscribe(streams.map((stream) => ({ stream, correlated_at: 50 })));
    for (let round = 0; round < fixture.scale(60, 10); round++) {
      const expired = await first.claim(8, 0, "late", 0);
      const [acked, taken] = await Promise.all([
        first.ack(fixture.shuffle(expired).map((lease) => ({ ...lease, at: 50 }))),
        second.claim(8, 8, "next", LONG),
      ]);

      const landed = new Set(acked.map(({ stream }) => stream));
      const granted = new Set(taken.map(({ stream }) => stream));
      for (const [stream, { at, leased_by }] of await positions(first)) {
        // A claim of what was just acked at its mark finds no work, so the two never share a stream.
        expect(landed.has(stream) && granted.has(stream), stream).toBe(false);
        if (landed.has(stream)) expect({ at, leased_by }).toEqual({ at: 50, leased_by: undefined });
        else if (granted.has(stream)) expect({ at, leased_by }).toEqual({ at: -1, leased_by: "next" });
      }
      await first.reset({});
    }
  });

  test("S7: of eight correlators with one key, one holds the lease", async () => {
    const stores = await fixture.stores(fixture.table(), 8);
    for (let round = 0; round < fixture.scale(40, 8); round++) {
      const key = `k-${round % 3}`;
      const results = await Promise.all(
        fixture.shuffle([...stores.entries()]).map(async ([w, store]) => {
          const result = await store.subscribe([], round, { key, by: `w${w}`, millis: LONG });
          return { ...result, w };
        }),
      );
      const holders = results.filter((r) => r.correlating);

      expect(holders).toHaveLength(1);
      for (const result of results) expect(result.correlated_at).toBe(round);
      const released = { key, by: `w${holders[0]?.w}`, millis: 0 };
      expect(await stores[0].subscribe([], undefined, released)).toMatchObject({ correlating: true });
    }
  });
});
