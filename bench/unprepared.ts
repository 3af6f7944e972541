/**
 * `node bench/unprepared.ts [--rounds N]`: what the statements of a single commit cost the server where it plans them for
 * each message, as behind a pooler in transaction mode. In ms of the server process's own CPU time, so other work beside it
 * hardly counts. On Linux, with the server on this machine. Results: `src/events/append-one.ts`.
 */
import "./lib/quiet.ts";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { type Append, appendFacts, insertQuery, insertTexts } from "../src/events/append.ts";
import { oneCommitQuery, oneCommitText } from "../src/events/append-one.ts";
import type { Query } from "../src/postgres/index.ts";
import { BEGIN, VALUES_AS_WRITTEN } from "../src/postgres/transaction.ts";
import { lockAppendsUntil } from "../src/schema/append-lock.ts";
import { namesOf } from "../src/schema/names.ts";
import { median } from "./lib/measure.ts";
import { startServer } from "./lib/server.ts";
import { META, message, openFresh } from "./lib/store.ts";
import { ours } from "./subjects/index.ts";

const { values: args } = parseArgs({ options: { rounds: { type: "string", default: "60" } } });
const STREAMS = 100;
const EVENTS = 5_000;
const SIZES = [1, 2, 4, 8];

/** ms of CPU that a process has used. */
const cpuOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;

const commitOf = (stream: string, size: number): Append => ({
  stream,
  expected: null,
  meta: JSON.stringify(META),
  token: randomUUID(),
  events: Array.from({ length: size }, (_, n) => ({
    name: "Happened",
    data: JSON.stringify({ n }),
    pii: null,
    dates: "{}",
  })),
});

async function main(): Promise<void> {
  const server = await startServer(() => {});
  try {
    const freshSchema = async () => `unprepared_${Date.now()}`;
    const { store, schema } = await openFresh({ url: server.url, freshSchema }, ours);
    const commits = Array.from({ length: EVENTS }, (_, n) => n);
    await Promise.all(commits.map((n) => store.commit(`s-${n % STREAMS}`, [message(n)], META)));
    const names = namesOf(schema, "events");
    const sql = postgres(server.url, { max: 1, fetch_types: false, onnotice: () => {} });
    const [facts] = await sql.unsafe(`select pg_backend_pid() as pid, ${appendFacts(names)}`);
    const sequence = Number(facts?.id_sequence);
    const mode = { announce: false, headBy: "id", sequence, deferred: false } as const;
    const texts = insertTexts(names, mode, "me");
    const inserts: Record<string, (commit: Append) => Query> = {};
    for (const size of SIZES) {
      const text = oneCommitText(names, mode, "me", size);
      inserts[`${size} events, of a batch`] = (commit) => insertQuery(texts, [commit], sequence);
      inserts[`${size} events, of one commit`] = (commit) =>
        oneCommitQuery(text, commit, sequence, { get: () => undefined });
    }
    const found: Record<string, number[]> = {};
    const run = async (name: string, { text, params = [] }: Query) => {
      const values = [...(typeof params === "function" ? params() : params)];
      const before = cpuOf(Number(facts?.pid));
      await sql.unsafe(text, values, { prepare: false });
      found[name] = [...(found[name] ?? []), cpuOf(Number(facts?.pid)) - before];
    };
    for (let round = 0; round < Number(args.rounds); round++)
      for (const [name, insert] of Object.entries(inserts)) {
        await run("begin", BEGIN);
        await run("settings for values", VALUES_AS_WRITTEN);
        await run(
          "append lock",
          lockAppendsUntil(names, 65_000, randomUUID(), () => Date.now() + 60_000),
        );
        await run(name, insert(commitOf(`s-${round % STREAMS}`, Number.parseInt(name, 10))));
        await run("commit", { text: "commit" });
      }
    console.table(
      Object.fromEntries(
        Object.entries(found).map(([name, each]) => [
          name,
          { "ms of server": Number(median(each).toFixed(3)) },
        ]),
      ),
    );
    await sql.end();
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
