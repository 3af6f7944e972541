/**
 * Commits whose connection is lost. The worker commits before the coordinator, and may do so when the coordinator's process
 * has gone: what a commit has become is asked of the worker, and only when nothing of it can run there any more.
 */
import type postgres from "postgres";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { titled } from "../faults/failover/programs.ts";
import { reason } from "./cluster.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();
const GATE = 4_711;

/** Sessions of the worker that wait for an advisory lock. */
async function waiting(worker: postgres.Sql): Promise<number[]> {
  const rows = await worker`
    select l.pid from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and not l.granted and d.datname = current_database()`;
  return rows.map(({ pid }) => Number(pid));
}

/** Makes each COMMIT of the log wait on its worker, until the gate is opened. */
async function gateCommits(store: PostgresStore) {
  const node = await cluster.nodeOf(store);
  const shard = await cluster.shardOf(store);
  const worker = cluster.on(node);
  const holder = cluster.on(node);
  await worker.unsafe(`
    set citus.enable_manual_changes_to_shards = on;
    set citus.enable_metadata_sync = off;
    create or replace function pg_temp_act_gate() returns trigger language plpgsql as
      $$ begin perform pg_advisory_xact_lock_shared(${GATE}); return null; end $$;
    create constraint trigger gate after insert on ${shard} deferrable initially deferred
      for each row execute function pg_temp_act_gate()`);
  await holder`select pg_advisory_lock(${GATE})`;
  let closed = true;
  const open = async () => {
    if (closed) await holder`select pg_advisory_unlock(${GATE})`;
    closed = false;
  };
  onTestFinished(open);
  return { worker, open };
}

async function counts(store: PostgresStore): Promise<Map<unknown, number>> {
  const found = new Map<unknown, number>();
  await store.query(({ data }) => {
    const { n } = data as { n: unknown };
    found.set(n, (found.get(n) ?? 0) + 1);
  });
  return found;
}

describe.skipIf(reason !== "")(titled("lost commits on Citus", reason), () => {
  cluster.open();

  test("a commit that goes on at the worker, without its coordinator's process, is waited for and found", async () => {
    const application_name = `lost_${process.pid}`;
    const store = await cluster.tenant({ application_name });
    await store.commit("s", [{ name: "A", data: { n: 0 } }], meta);
    const gate = await gateCommits(store);
    const committing = store.commit("s", [{ name: "A", data: { n: 1 } }], meta);
    await eventually(async () => (await waiting(gate.worker)).length === 1);
    const [orphan] = await waiting(gate.worker);
    await cluster.sql`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = ${application_name} and state = 'active'`;
    // The recovery waits for the append lock, which the orphan holds.
    await eventually(async () => (await waiting(gate.worker)).length === 2);
    expect(await waiting(gate.worker)).toContain(orphan);
    await gate.open();
    expect(await committing).toMatchObject([{ stream: "s", version: 1 }]);
    expect(await counts(store)).toEqual(new Map([0, 1].map((n) => [n, 1])));
  });

  test("a commit that its worker has rolled back is sent again", async () => {
    const store = await cluster.tenant();
    await store.commit("s", [{ name: "A", data: { n: 0 } }], meta);
    const gate = await gateCommits(store);
    const committing = store.commit("s", [{ name: "A", data: { n: 1 } }], meta);
    await eventually(async () => (await waiting(gate.worker)).length === 1);
    const [pid] = await waiting(gate.worker);
    await gate.worker`select pg_terminate_backend(${Number(pid)})`;
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
      await eventually(() => acknowledged.length > before + 5, { within: 30_000 });
    }
    done = true;
    await writing;
    const stored = await counts(store);
    expect([...stored.values()].filter((times) => times > 1)).toEqual([]);
    expect(acknowledged.filter((n) => !stored.has(n))).toEqual([]);
  });

  test("ids go on behind the log, if a crash has set the coordinator's sequence back", async () => {
    const store = await cluster.tenant();
    const { schema, table } = store.config;
    const committed = await store.commit(
      "s",
      ["A", "B", "C"].map((name) => ({ name, data: {} })),
      meta,
    );
    await store.dispose();
    await cluster.sql.unsafe(`select setval('"${schema}"."${table}_id_seq"', 1)`);
    const after = cluster.store({ schema });
    const [event] = await after.commit("t", [{ name: "D", data: {} }], meta);
    expect(event?.id).toBeGreaterThan(committed.at(-1)?.id ?? 0);
  });
});
