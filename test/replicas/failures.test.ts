/** Standbys that die, come back, or are promoted, while their store is read. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { runProgram, titled } from "../faults/failover/programs.ts";
import { admitted, ask, meta, namesIn, reason, tools, useCluster } from "./cluster.ts";

const event = (name: string) => ({ name, data: {} });

describe.skipIf(!tools)(titled("replicas", reason), () => {
  // The last test spoils it.
  const cluster = useCluster();

  const stateOf = async (store: PostgresStore, n: number) => (await store.health()).replicas[n];

  /**
   * Commits, and reads 50 times after each, until the signal; what failed, and whether a read lacked something. While a process
   * commits, no replica has all that it has seen.
   */
  async function use(
    store: PostgresStore,
    signal: AbortSignal,
  ): Promise<{ failures: unknown[]; reads: number }> {
    const failures: unknown[] = [];
    let reads = 0;
    const client = async (n: number) => {
      for (let version = 0; !signal.aborted; version++)
        try {
          await store.commit(`s-${n}`, [event("E")], meta, version - 1);
          for (let turn = 0; turn < 50 && !signal.aborted; turn++) {
            const found = await store.query(() => {}, { stream: `s-${n}`, stream_exact: true });
            reads++;
            if (found !== version + 1) failures.push(new Error(`${found} events instead of ${version + 1}`));
          }
        } catch (error) {
          failures.push(error);
          return;
        }
    };
    await Promise.all([0, 1, 2, 3].map(client));
    return { failures, reads };
  }

  test("one is killed: no read fails or lacks anything, and it is read again when it is back", async () => {
    const { store, other } = await cluster.pair();
    await other.commit("s", [event("A")], meta);
    await cluster.replayed();
    await admitted(store);
    const over = new AbortController();
    const using = use(store, over.signal);
    const [one] = cluster.standbys;
    await one?.kill();
    await eventually(async () => (await stateOf(store, 0))?.up === false);
    await eventually(async () => ((await stateOf(store, 1))?.reads ?? 0) > 20);
    await one?.start(cluster.home, tools ?? "");
    const before = (await stateOf(store, 0))?.reads ?? 0;
    await eventually(async () => ((await stateOf(store, 0))?.reads ?? 0) > before, { within: 30_000 });
    over.abort();
    const { failures, reads } = await using;
    expect(failures).toEqual([]);
    expect(reads).toBeGreaterThan(20);
  }, 90_000);

  test("one no longer answers: reads wait for it two seconds at most, once", async () => {
    const { store, other } = await cluster.pair({ replicas: cluster.urls.slice(0, 1) });
    await other.commit("s", [event("A")], meta);
    await cluster.replayed();
    await admitted(store);
    const [one] = cluster.standbys;
    const sessions = one
      ? await ask(one, "select pid from pg_stat_activity where application_name = 'act-drizzle'")
      : [];
    for (const { pid } of sessions) process.kill(pid, "SIGSTOP");
    try {
      const start = performance.now();
      expect(await namesIn(store)).toEqual(["A"]);
      expect(performance.now() - start).toBeLessThan(6_000);
      const again = performance.now();
      for (let n = 0; n < 20; n++) expect(await namesIn(store)).toEqual(["A"]);
      expect(performance.now() - again).toBeLessThan(1_900);
    } finally {
      for (const { pid } of sessions) process.kill(pid, "SIGCONT");
    }
  }, 60_000);

  test("one is promoted: it is not read any more", async () => {
    const { store, other } = await cluster.pair();
    await other.commit("s", [event("A")], meta);
    await cluster.replayed();
    await admitted(store);
    const [one] = cluster.standbys;
    if (!one || !tools) throw new Error("no standby");
    await runProgram(cluster.home, join(tools, "pg_ctl"), ["promote", "-D", one.folder, "-w"]);
    // What is written there is of another history.
    await ask(
      one,
      `insert into ${other.config.schema}.events (name, data, stream, version, meta) values ('Astray', '{}', 'x', 0, '{}')`,
    );
    for (let look = 0; look < 50; look++) expect(await namesIn(store)).toEqual(["A"]);
    expect(await stateOf(store, 0)).toMatchObject({
      up: false,
      problem: expect.stringMatching(/no (longer a )?standby/),
    });
    expect(await stateOf(store, 1)).toMatchObject({ up: true });
  }, 60_000);
});
