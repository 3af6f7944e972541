/**
 * `node bench/claim-planning.ts [--rounds N]`: what the first claims of a server process cost the server, and the question
 * with which each connection begins. In ms of the server process's own CPU time, so other work beside it hardly counts.
 * On Linux, with the server on this machine. Results: ADR 0014.
 */
import "./lib/quiet.ts";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { IDENTITY } from "../src/postgres/identity.ts";
import { namesOf } from "../src/schema/names.ts";
import { claimStatement } from "../src/subscriptions/claim-statement.ts";
import { median } from "./lib/measure.ts";
import { startServer } from "./lib/server.ts";
import { META, message, openFresh } from "./lib/store.ts";
import { ours } from "./subjects/index.ts";

const { values: args } = parseArgs({ options: { rounds: { type: "string", default: "12" } } });
const SUBSCRIPTIONS = 10;
/** From the sixth on PostgreSQL may use a generic plan. */
const RUNS = 8;

/** ms of CPU that a process has used. */
const cpuOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;

async function main(): Promise<void> {
  const server = await startServer(() => {});
  try {
    const freshSchema = async () => `planning_${Date.now()}`;
    const { store, schema } = await openFresh({ url: server.url, freshSchema }, ours);
    for (let n = 0; n < SUBSCRIPTIONS; n++) await store.commit(`t-${n}`, [message(n)], META);
    await store.subscribe(
      Array.from({ length: SUBSCRIPTIONS }, (_, n) => ({
        stream: `r-${n}`,
        source: `t-${n}`,
        correlated_at: n + 10,
      })),
    );
    const names = namesOf(schema, "events");
    const limits = { byPriority: 4, fair: 1, leading: 5 };
    const claim = (withDue: boolean) => ({
      text: claimStatement(names, { limits, inLane: false, withDue, marks: false }),
      params: () => ["me", 0, Date.now(), limits.byPriority, limits.fair, limits.leading],
      runs: RUNS,
    });
    const subjects = {
      "claim, nothing deferred is due": claim(false),
      "claim that merges what is due": claim(true),
      "first statement of a connection": { text: `select ${IDENTITY}`, params: () => [], runs: 1 },
    };
    const found: Record<string, number[][]> = {};
    for (let round = 0; round < Number(args.rounds); round++)
      for (const [name, { text, params, runs }] of Object.entries(subjects)) {
        const sql = postgres(server.url, { max: 1, fetch_types: false, onnotice: () => {} });
        const pid = Number((await sql.unsafe("select 1")).state.pid);
        // A claim is never the first statement on its table.
        await sql.unsafe(`update ${names.streams} set retry = retry where false`);
        const each: number[] = [];
        for (let run = 0; run < runs; run++) {
          const before = cpuOf(pid);
          await sql.unsafe(text, params(), { prepare: true });
          each.push(cpuOf(pid) - before);
        }
        found[name] = [...(found[name] ?? []), each];
        await sql.end();
      }
    console.table(
      Object.fromEntries(
        Object.entries(found).map(([name, rounds]) => [
          name,
          Object.fromEntries(
            (rounds[0] ?? []).map((_, run) => [
              `run ${run + 1}`,
              Number(median(rounds.map((each) => each[run] ?? 0)).toFixed(2)),
            ]),
          ),
        ]),
      ),
    );
    await store.drop();
    await store.dispose();
  } finally {
    await server.stop();
  }
}

await main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
