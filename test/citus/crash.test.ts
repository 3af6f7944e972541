/**
 * The coordinator crashes in the midst of a commit. The worker goes on to prepare its part, and keeps it until the coordinator,
 * which is back, decides. A store that asked before that what became of its commit would not see it.
 */
import { describe, expect, test } from "vitest";
import { eventually } from "../conformance/kit/eventually.ts";
import { titled } from "../faults/failover/programs.ts";
import { reason } from "./cluster.ts";
import { counts, gateCommits, waiting } from "./commit-gate.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();

describe.skipIf(reason !== "")(titled("a crash of the coordinator of Citus", reason), () => {
  cluster.open({ alone: true });

  test("a commit that goes on at the worker is waited for, and stored once", {
    timeout: 120_000,
  }, async () => {
    const application_name = `crash_${process.pid}`;
    const store = await cluster.tenant({ application_name });
    await store.commit("s", [{ name: "A", data: { n: 0 } }], meta);
    const gate = await gateCommits(cluster, store);
    let done = false;
    const committing = store.commit("s", [{ name: "A", data: { n: 1 } }], meta);
    await eventually(async () => (await waiting(gate.worker)).length === 1);
    const [orphan] = await waiting(gate.worker);
    const [backend] = await cluster.sql`
      select pid from pg_stat_activity where application_name = ${application_name} and state = 'active'`;
    // Its postmaster ends all other processes, and starts anew. This session ends with them.
    await cluster.sql.unsafe(`copy (select 1) to program 'kill -9 ${Number(backend?.pid)}'`).catch(() => {});
    // The recovery waits for the append lock, which the orphan holds.
    await eventually(async () => (await waiting(gate.worker)).length === 2, { within: 60_000 });
    expect(await waiting(gate.worker)).toContain(orphan);
    await gate.open();
    // Else the coordinator looks for such transactions every minute (citus.recover_2pc_interval).
    const settled = committing.finally(() => {
      done = true;
    });
    await eventually(async () => (await cluster.sql`select recover_prepared_transactions()`) && done, {
      within: 60_000,
    });
    expect(await settled).toMatchObject([{ stream: "s", version: 1 }]);
    expect(await counts(store)).toEqual(new Map([0, 1].map((n) => [n, 1])));
  });
});
