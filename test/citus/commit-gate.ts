/** Holds commits on the worker, between the coordinator's COMMIT and its answer. */
import type postgres from "postgres";
import { onTestFinished } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import type { CitusTenants } from "./tenants.ts";

const GATE = 4_711;

/** Sessions of the worker that wait for an advisory lock. */
export async function waiting(worker: postgres.Sql): Promise<number[]> {
  const rows = await worker`
    select l.pid from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and not l.granted and d.datname = current_database()`;
  return rows.map(({ pid }) => Number(pid));
}

/** Makes each COMMIT of the log wait on its worker, until the gate is opened. */
export async function gateCommits(cluster: CitusTenants, store: PostgresStore) {
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

/** How often each `n` is stored. */
export async function counts(store: PostgresStore): Promise<Map<unknown, number>> {
  const found = new Map<unknown, number>();
  await store.query(({ data }) => {
    const { n } = data as { n: unknown };
    found.set(n, (found.get(n) ?? 0) + 1);
  });
  return found;
}
