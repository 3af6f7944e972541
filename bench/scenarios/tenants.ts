/** Many tenants in one process, on the connections of one PostgresDatabase, against a single one on the same connections. */
import { readFileSync } from "node:fs";
import { PostgresDatabase, PostgresStore, seedAll } from "../../src/index.ts";
import { closedLoop, loopMetrics } from "../lib/measure.ts";
import { META, message } from "../lib/store.ts";
import type { Bench, Row, Scenario } from "../lib/types.ts";

const TENANTS = 1_000;
const CONNECTIONS = 20;
const IN_FLIGHT = 64;

const WARM_ROUNDS = 3;

async function eachOnce<T>(
  items: readonly T[],
  work: (item: T, n: number) => Promise<unknown>,
): Promise<void> {
  const next = items.entries();
  const caller = async () => {
    for (const [n, item] of next) await work(item, n);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
}

const row = (of: Pick<Row, "id" | "label" | "metric" | "unit" | "better"> & Partial<Row>): Row => of;

/** Memory that the server's processes behind an application have for themselves, in MiB; NaN if it is not on this machine. */
async function serverMemory({ admin }: Bench, application: string): Promise<number> {
  const rows = await admin<{ pid: number }[]>`
    select pid from pg_stat_activity where application_name = ${application}`;
  try {
    const kilobytes = rows.map(({ pid }) => {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      return Number(/^Private_Dirty:\s+(\d+)/m.exec(text)?.[1] ?? Number.NaN);
    });
    return kilobytes.reduce((sum, one) => sum + one, 0) / 1_024;
  } catch {
    return Number.NaN;
  }
}

export const tenantScenarios: readonly Scenario[] = [
  {
    name: "tenants",
    title: `Commits of ${TENANTS} tenants on ${CONNECTIONS} connections, ${IN_FLIGHT} in flight, each to a tenant by chance; and of one tenant`,
    peers: [],
    rows: () => [
      row({
        id: "tenants-commit",
        label: `commit, 1,000 tenants in one process, 20 connections, ${IN_FLIGHT} in flight`,
        metric: "manyPerSecond",
        unit: "commits/s",
        better: "more",
      }),
      row({
        id: "tenants-commit-p99",
        label: "p99 of such a commit",
        metric: "manyP99",
        unit: "ms",
        better: "less",
      }),
      row({
        id: "tenants-first",
        label: "the first commit of each tenant on new connections, 64 in flight",
        metric: "firstPerSecond",
        unit: "commits/s",
        better: "more",
      }),
      row({
        id: "tenants-one",
        label: `commit, one tenant on the same connections, ${IN_FLIGHT} in flight`,
        metric: "onePerSecond",
        unit: "commits/s",
        better: "more",
      }),
      row({
        id: "tenants-one-p99",
        label: "p99 of such a commit",
        metric: "oneP99",
        unit: "ms",
        better: "less",
      }),
      row({
        id: "tenants-server",
        label: "the server's memory behind the connections of 1,000 tenants",
        metric: "manyServer",
        unit: "MiB",
        better: "less",
      }),
      row({
        id: "tenants-server-one",
        label: "the server's memory behind those of one tenant",
        metric: "oneServer",
        unit: "MiB",
        better: "less",
      }),
      row({
        id: "tenants-process",
        label: "memory of the process for each tenant (heap)",
        metric: "perTenant",
        unit: "KiB",
        better: "less",
      }),
    ],
    prepare: async (bench, subject) => {
      if (subject.id !== "act-drizzle") throw new Error("has no connections that stores share");
      const schemas = await Promise.all(Array.from({ length: TENANTS }, () => bench.freshSchema()));
      let runs = 0;
      const open = (name: string, count: number) => {
        const application_name = `bench_${name}_${runs++}`;
        const database = new PostgresDatabase({ url: bench.url, max: CONNECTIONS, application_name });
        const stores = schemas.slice(0, count).map((schema) => new PostgresStore({ database, schema }));
        return { database, stores, application_name };
      };
      const seeding = open("seed", TENANTS);
      await seedAll(seeding.stores);
      await seeding.database.dispose();
      const measure = async (name: string, count: number) => {
        globalThis.gc?.();
        const before = process.memoryUsage().heapUsed;
        const { database, stores, application_name } = open(name, count);
        const commitTo = (store: PostgresStore | undefined, caller: number, turn: number) => {
          if (!store) throw new Error("there is one");
          return store.commit(`c-${runs}-${caller}`, [message(turn)], META);
        };
        const begin = performance.now();
        await eachOnce(stores, (store, n) => commitTo(store, n % IN_FLIGHT, 0));
        const firstPerSecond = (1_000 * count) / (performance.now() - begin);
        // Each knows its connection, which has its statements prepared.
        for (let round = 0; round < WARM_ROUNDS; round++)
          await eachOnce(stores, (store, n) => commitTo(store, n % IN_FLIGHT, 0));
        const loop = await closedLoop(IN_FLIGHT, 2 * bench.millis, (caller, turn) =>
          commitTo(stores[Math.floor(Math.random() * count)], caller, turn),
        );
        globalThis.gc?.();
        const heap = process.memoryUsage().heapUsed - before;
        const server = await serverMemory(bench, application_name);
        await database.dispose();
        return { ...loopMetrics(loop), firstPerSecond, server, heap };
      };
      return {
        run: async () => {
          const one = await measure("one", 1);
          const many = await measure("many", TENANTS);
          return {
            onePerSecond: one.perSecond,
            oneP99: one.p99,
            oneServer: one.server,
            manyPerSecond: many.perSecond,
            manyP99: many.p99,
            firstPerSecond: many.firstPerSecond,
            manyServer: many.server,
            perTenant: Math.max(0, many.heap - one.heap) / 1_024 / TENANTS,
          };
        },
        close: async () => {},
      };
    },
  },
];
