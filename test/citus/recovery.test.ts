/** Commits whose connection is lost, at the coordinator or between it and the worker. */
import { describe, expect, onTestFinished, test } from "vitest";
import { eventually } from "../conformance/kit/eventually.ts";
import { titled } from "../faults/failover/programs.ts";
import { reason } from "./cluster.ts";
import { counts, gateCommits, waiting } from "./commit-gate.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();

describe.skipIf(reason !== "")(titled("lost commits on Citus", reason), () => {
  cluster.open({ alone: true });

  test("a commit that its worker has rolled back is sent again", async () => {
    const store = await cluster.tenant();
    await store.commit("s", [{ name: "A", data: { n: 0 } }], meta);
    const gate = await gateCommits(cluster, store);
    const committing = store.commit("s", [{ name: "A", data: { n: 1 } }], meta);
    await eventually(async () => (await waiting(gate.worker)).length === 1);
    const [pid] = await waiting(gate.worker);
    await gate.worker`select pg_terminate_backend(${Number(pid)}::int)`;
    await gate.open();
    expect(await committing).toMatchObject([{ stream: "s", version: 1 }]);
    expect(await counts(store)).toEqual(new Map([0, 1].map((n) => [n, 1])));
  });

  test("what is acknowledged while sessions are ended is stored once, and nothing is stored twice", async () => {
    const application_name = `storm_${process.pid}`;
    const store = await cluster.tenant({ application_name });
    const worker = cluster.on(await cluster.nodeOf(store));
    const acknowledged: number[] = [];
    let next = 0;
    let done = false;
    onTestFinished(() => {
      done = true;
    });
    const write = async () => {
      while (!done) {
        const n = next++;
        await store
          .commit(`s${n % 5}`, [{ name: "A", data: { n } }], meta)
          .then(() => acknowledged.push(n))
          .catch(() => {});
      }
    };
    const writing = Promise.all(Array.from({ length: 8 }, write));
    for (let kill = 0; kill < 10; kill++) {
      const before = acknowledged.length;
      await (kill % 2 === 0
        ? cluster.sql`select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = ${application_name} and state = 'active'`
        : worker`select pg_terminate_backend(pid) from pg_stat_activity
            where application_name like 'citus_internal%' and pid <> pg_backend_pid()`);
      // What a worker had prepared holds the log up until the coordinator decides: else within a minute.
      await eventually(
        async () => {
          await cluster.sql`select recover_prepared_transactions()`;
          return acknowledged.length > before + 5;
        },
        { within: 30_000, every: 100 },
      );
    }
    done = true;
    await writing;
    const stored = await counts(store);
    expect([...stored.values()].filter((times) => times > 1)).toEqual([]);
    expect(acknowledged.filter((n) => !stored.has(n))).toEqual([]);
  });

  test("ids go on behind the log, if a fail-over of the coordinator has set their sequence back", async () => {
    const store = await cluster.tenant();
    const { schema, table } = store.config;
    const set = (last: number) =>
      cluster.sql.unsafe(`select setval('"${schema}"."${table}_id_seq"', ${last})`);
    const commit = (by: typeof store) => by.commit("s", [{ name: "A", data: {} }], meta);
    await commit(store);
    await set(10);
    const [last] = await commit(store);
    await store.dispose();
    // The next id would be free, and lower than one that readers have seen.
    await set(5);
    const [next] = await commit(cluster.store({ schema }));
    expect(next?.id).toBeGreaterThan(last?.id ?? 0);
  });
});
