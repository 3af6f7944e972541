/**
 * `node bench/reset.ts [--count N] [--rounds N]`: reset of all subscriptions of a caught-up store, beside one plain UPDATE of
 * the same columns on act-pg's tables; in turn. Results: docs/guides/operations.md, "Long operations".
 * CPU is that of the server processes that do the work, on Linux, with the server on this machine.
 */
import "./lib/quiet.ts";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { PostgresStore } from "../src/index.ts";
import { median } from "./lib/measure.ts";
import { startServer } from "./lib/server.ts";
import { baseline } from "./subjects/index.ts";

const { values: args } = parseArgs({
  options: { count: { type: "string", default: "100000" }, rounds: { type: "string", default: "3" } },
});
const COUNT = Number(args.count);
const OURS = "bench_reset";

const cpuOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e9;

async function main(): Promise<void> {
  const server = await startServer(() => {});
  const { admin, url } = server;
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  const stamp = Date.now();
  const [here, there] = [`reset_${stamp}`, `reset_there_${stamp}`];
  // A connection that was closed has no CPU time to read.
  const kept = { idleTimeoutMillis: 0, statement_timeout: 0 };
  const store = new PostgresStore({ url, schema: here, application_name: OURS, ...kept });
  const other = await baseline.open({ url, schema: there });
  try {
    await store.seed();
    await other.seed();
    const streams = (schema: string) => `"${schema}".events_streams`;
    const fill = async (schema: string) => {
      await admin.unsafe(`truncate ${streams(schema)}`);
      await admin.unsafe(`insert into ${streams(schema)} (stream, source, at, retry, correlated_at)
        select 'sub-' || lpad(n::text, 8, '0'), 'src-' || n, n, 0, n from generate_series(0, ${COUNT - 1}) n`);
      await admin.unsafe(`vacuum (analyze) ${streams(schema)}`);
    };
    const walOf = async () => Number((await admin`select pg_current_wal_lsn() - '0/0'::pg_lsn as n`)[0]?.n);
    const subjects = {
      "reset()": {
        schema: here,
        pids: async () =>
          (await admin`select pid from pg_stat_activity where application_name = ${OURS}`).map(
            ({ pid }) => pid,
          ),
        run: async () => {
          const found = await store.reset({});
          if (found !== COUNT) throw new Error(`${found} were reset, not ${COUNT}`);
        },
      },
      "UPDATE on act-pg's tables": {
        schema: there,
        pids: async () => [(await sql`select pg_backend_pid() as pid`)[0]?.pid],
        run: async () => {
          await sql.unsafe(`update ${streams(there)} set at = -1, retry = -1, blocked = false, error = null,
            leased_by = null, leased_until = null, deferred_at = null`);
        },
      },
    };
    const found: Record<string, { seconds: number[]; cpu: number[]; wal: number[] }> = {};
    for (let round = 0; round < Number(args.rounds); round++)
      for (const [name, { schema, pids, run }] of Object.entries(subjects)) {
        await fill(schema);
        // One connection that is open before, so that its CPU can be read at both ends.
        await store.query_streams(() => {}, { limit: 1 });
        const processes = await pids();
        const cpu = () => processes.reduce((sum, pid) => sum + cpuOf(Number(pid)), 0);
        const [start, cpuBefore, walBefore] = [performance.now(), cpu(), await walOf()];
        await run();
        const each = found[name] ?? { seconds: [], cpu: [], wal: [] };
        each.seconds.push((performance.now() - start) / 1_000);
        each.cpu.push(cpu() - cpuBefore);
        each.wal.push(((await walOf()) - walBefore) / 2 ** 20);
        found[name] = each;
      }
    console.table(
      Object.fromEntries(
        Object.entries(found).map(([name, { seconds, cpu, wal }]) => [
          name,
          {
            rows: COUNT,
            "time (s)": Number(median(seconds).toFixed(1)),
            "CPU (s)": Number(median(cpu).toFixed(1)),
            "WAL (MB)": Math.round(median(wal)),
          },
        ]),
      ),
    );
  } finally {
    await store.dispose();
    await other.dispose();
    await sql.end();
    for (const schema of [here, there]) await admin.unsafe(`drop schema if exists "${schema}" cascade`);
    await server.stop();
  }
}

await main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
