/** A tenant's schema is moved from worker to worker while it is in use. */
import { describe, expect, test } from "vitest";
import { titled } from "../faults/failover/programs.ts";
import { tail, throughStore } from "../order/tail.ts";
import { reason } from "./cluster.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();

describe.skipIf(reason !== "")(titled("a move on Citus", reason), () => {
  cluster.open();

  for (const mode of ["block_writes", "force_logical"])
    test(`by ${mode} loses no event, and readers see them in order`, { timeout: 120_000 }, async () => {
      const store = await cluster.tenant();
      const other = cluster.store({ schema: store.config.schema });
      const acknowledged: number[] = [];
      const failures: unknown[] = [];
      const granted: string[] = [];
      await store.subscribe(Array.from({ length: 20 }, (_, n) => ({ stream: `r${n}`, correlated_at: 1 })));
      let done = false;
      const write = async (writer: number) => {
        const from = writer % 2 === 0 ? store : other;
        while (!done)
          await from
            .commit(
              `s${writer}`,
              [
                { name: "A", data: { writer } },
                { name: "B", data: {} },
              ],
              meta,
            )
            .then(
              (committed) => void acknowledged.push(...committed.map(({ id }) => id)),
              (error: unknown) => void failures.push(error),
            );
      };
      const claim = async () => {
        while (!done) {
          const leases = await store.claim(2, 1, "worker", 60_000);
          granted.push(...leases.map(({ stream }) => stream));
          await store.ack(leases.map((lease) => ({ ...lease, at: 0 })));
          await store.reset(leases.map(({ stream }) => stream));
        }
      };
      const working = Promise.all([...Array.from({ length: 4 }, (_, writer) => write(writer)), claim()]);
      working.catch(() => {});
      const reading = tail(throughStore(other), working, 100);
      reading.catch(() => {});
      const start = await cluster.nodeOf(store);
      const workers = await cluster.workers();
      try {
        for (let round = 0; round < 2; round++) {
          const now = await cluster.nodeOf(store);
          const target = workers.find(({ port }) => port !== now.port);
          if (!target) throw new Error("the cluster needs two workers");
          const before = acknowledged.length;
          await cluster.sql.unsafe(
            `select citus_schema_move('"${store.config.schema}"', '${target.host}', ${target.port}, '${mode}')`,
          );
          expect(await cluster.nodeOf(store)).toEqual(target);
          await expect.poll(() => acknowledged.length).toBeGreaterThan(before + 10);
        }
      } finally {
        done = true;
      }
      await working;
      const { ids } = await reading;
      expect(failures).toEqual([]);
      expect(ids).toEqual([...acknowledged].sort((a, b) => a - b));
      expect(granted.length).toBeGreaterThan(0);
      expect(await cluster.nodeOf(store)).toEqual(start);
    });
});
