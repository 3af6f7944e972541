/** CPU and memory of this process and of the server, from /proc. The server's only when it is local. */
import { readdirSync, readFileSync } from "node:fs";
import type postgres from "postgres";

export type Usage = {
  /** Share of one core, in per cent, over the measured time. */
  readonly nodeCpu: number;
  /** All processes of the server together; NaN when the server is not on this machine. */
  readonly postgresCpu: number;
  /** Highest resident set seen in this process, in MiB. */
  readonly peakRss: number;
};

// USER_HZ: 100 on every Linux that Node runs on.
const TICK_MS = 10;

type Stat = { readonly parent: number; readonly own: number; readonly reaped: number };

function stat(pid: number | string): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name may hold spaces: count from the closing parenthesis.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const at = (n: number) => Number(fields[n - 3]);
    return { parent: at(4), own: (at(14) + at(15)) * TICK_MS, reaped: (at(16) + at(17)) * TICK_MS };
  } catch {
    return undefined;
  }
}

/** CPU milliseconds of one process so far; NaN when it is not on this machine. */
export const cpuOf = (pid: number | undefined): number =>
  pid === undefined ? Number.NaN : (stat(pid)?.own ?? Number.NaN);

/** CPU milliseconds that the server used since it started: its live processes and the ones it buried. */
export function serverCpu(postmaster: number | undefined): number {
  if (postmaster === undefined) return Number.NaN;
  const root = stat(postmaster);
  if (!root) return Number.NaN;
  let total = root.own + root.reaped;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const child = stat(entry);
    if (child?.parent === postmaster) total += child.own;
  }
  return total;
}

/** The postmaster behind a connection, when /proc of this machine knows it. */
export async function findPostmaster(sql: postgres.Sql): Promise<number | undefined> {
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  if (!row) return undefined;
  try {
    // A server elsewhere may have a pid that means something else here.
    if (!readFileSync(`/proc/${row.pid}/comm`, "utf8").startsWith("postgres")) return undefined;
  } catch {
    return undefined;
  }
  return stat(row.pid)?.parent;
}

/** Starts watching; the returned function ends it. */
export function watchUsage(postmaster: number | undefined): () => Usage {
  const started = performance.now();
  const cpu = process.cpuUsage();
  const server = serverCpu(postmaster);
  let peak = process.memoryUsage.rss();
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 20);
  return () => {
    clearInterval(timer);
    const millis = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    peak = Math.max(peak, process.memoryUsage.rss());
    return {
      nodeCpu: (100 * (user + system)) / 1_000 / millis,
      postgresCpu: (100 * (serverCpu(postmaster) - server)) / millis,
      peakRss: peak / 2 ** 20,
    };
  };
}
