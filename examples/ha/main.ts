/**
 * Starts the cluster, kills its leader under load (once, unless a number says otherwise), and compares what the clients were
 * told with what the new leader holds. In this repository: `npm run example:ha`.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ConsoleLogger, log } from "@rotorsoft/act";
import { PostgresStore } from "act-drizzle";
import { Cluster, HOSTS_URL, PROXY_URL } from "./cluster.ts";
import { Load } from "./load.ts";

const rounds = Number(process.argv[2] ?? 1);
log(new ConsoleLogger({ level: "fatal" }));

const interrupted = new AbortController();
// Act's own handlers would end this process before the cluster.
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.removeAllListeners(signal).once(signal, () => interrupted.abort(new Error(`ended by ${signal}`)));

async function killLeader(cluster: Cluster, load: Load, round: number): Promise<void> {
  await delay(3_000, undefined, { signal: interrupted.signal });
  const leader = await cluster.leader();
  const before = load.acknowledged;
  const start = performance.now();
  await cluster.kill(leader);
  console.log(`Round ${round}: ${leader} killed after ${before} acknowledged commits`);
  await cluster.until("another leader", (members) =>
    members.some(({ name, role }) => role === "leader" && name !== leader),
  );
  while (load.acknowledged === before) await delay(50, undefined, { signal: interrupted.signal });
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  console.log(`  ${await cluster.leader()} leads, commits are acknowledged again after ${seconds} s`);
  cluster.startNode(leader);
  await cluster.until("a synchronous standby again", (members) =>
    members.some(({ role }) => role === "sync_standby"),
  );
}

const cluster = new Cluster();
const limits = { max: 5, statement_timeout: 5_000, connectionTimeoutMillis: 3_000 };
const stores = [PROXY_URL, HOSTS_URL].map((url) => new PostgresStore({ url, ...limits }));
const load = new Load();
try {
  console.log("Starting etcd, two Patroni nodes and HAProxy …");
  await cluster.start();
  for (const store of stores) await store.seed();

  load.start(stores);
  for (let round = 1; round <= rounds; round++) await killLeader(cluster, load, round);
  await load.stop();

  const [, direct] = stores;
  if (!direct) throw new Error("no store");
  const { acknowledged, conflicts, failed, unknown, stored, lost, wrong } = await load.compare(direct);
  console.log(
    `${acknowledged} commits acknowledged, ${conflicts} conflicts, ${failed} failed, ` +
      `${unknown} unknown (${stored} of them stored); ${lost.length} lost, ${wrong.length} wrong; ` +
      `longest outage ${(load.longestOutage / 1_000).toFixed(1)} s`,
  );
  process.exitCode = lost.length + wrong.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await load.stop();
  await Promise.all(stores.map((store) => store.dispose()));
  await cluster.stop();
}
process.exit();
