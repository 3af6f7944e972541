/**
 * `node examples/ha/main.ts [rounds]`: starts the cluster, kills its leader under load (once unless told otherwise),
 * and compares what the clients were told with what the new leader holds.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ConsoleLogger, log } from "@rotorsoft/act";
import { PostgresStore } from "../../src/index.ts";
import { load } from "../../test/faults/kit/clients.ts";
import { Ledger } from "../../test/faults/kit/ledger.ts";
import { runSession } from "../git/session.ts";
import { Cluster, HOSTS_URL, PROXY_URL } from "./cluster.ts";

const rounds = Number(process.argv[2] ?? 1);
log(new ConsoleLogger({ level: "fatal" }));

await runSession(async (session) => {
  const cluster = new Cluster();
  session.onEnd(() => cluster.stop());
  console.log("Starting etcd, two Patroni nodes and HAProxy …");
  await cluster.start();
  const limits = { max: 5, statement_timeout: 5_000, connectionTimeoutMillis: 3_000 };
  const stores = [PROXY_URL, HOSTS_URL].map((url) => new PostgresStore({ url, ...limits }));
  session.onEnd(async () => void (await Promise.all(stores.map((store) => store.dispose()))));
  for (const store of stores) await store.seed();

  const ledger = new Ledger();
  const unwatch = ledger.watch();
  let over = false;
  const working = load(ledger, stores, () => over);
  for (let round = 1; round <= rounds && !session.signal.aborted; round++) {
    await delay(3_000);
    const leader = await cluster.leader();
    const before = ledger.acknowledged.size;
    const start = performance.now();
    await cluster.kill(leader);
    console.log(`Round ${round}: ${leader} killed after ${before} acknowledged commits`);
    await cluster.until("another leader", (members) =>
      members.some(({ name, role }) => role === "leader" && name !== leader),
    );
    while (ledger.acknowledged.size === before && !session.signal.aborted) await delay(50);
    const seconds = ((performance.now() - start) / 1_000).toFixed(1);
    console.log(`  ${await cluster.leader()} leads, commits are acknowledged again after ${seconds} s`);
    cluster.startNode(leader);
    await cluster.until("a synchronous standby again", (members) =>
      members.some(({ role }) => role === "sync_standby"),
    );
  }
  over = true;
  await working;
  unwatch();
  const verdict = await ledger.verify((await cluster.leader()) === "a" ? nodeUrl(15_432) : nodeUrl(15_433));
  const { acknowledged, failed, unknown, longestOutageMs } = ledger;
  console.log(
    `${acknowledged.size} commits acknowledged, ${failed.size} failed, ${unknown.size} unknown (${verdict.landed} of them landed); ` +
      `${verdict.lost.length} lost, ${verdict.duplicated.length} twice; longest outage ${(longestOutageMs / 1_000).toFixed(1)} s`,
  );
  for (const line of verdict.damage) console.error(line);
  return verdict.damage.length === 0 ? 0 : 1;
}, String);

function nodeUrl(port: number): string {
  return `postgres://postgres:example@127.0.0.1:${port}/postgres`;
}
