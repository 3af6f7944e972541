/**
 * `node bench/soak.ts --minutes N [--hold]`: 20,000 subscriptions, 4 workers, 2 committers; once a minute the
 * latencies, the share of HOT updates, dead rows and sizes. `--hold` keeps a REPEATABLE READ session open.
 */
import "./lib/quiet.ts";
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type postgres from "postgres";
import type { PaceParams } from "./jobs/soak.ts";
import { tidy } from "./lib/data.ts";
import { median, percentile, timed } from "./lib/measure.ts";
import { startServer } from "./lib/server.ts";
import { type Sample, type Soak, soakVerdict } from "./lib/soak-report.ts";
import { startWorker, type Worker } from "./lib/workers.ts";
import { subjectById } from "./subjects/index.ts";

const { values: args } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    hold: { type: "boolean", default: false },
    every: { type: "string", default: "60" },
    subscriptions: { type: "string", default: "20000" },
    rate: { type: "string", default: "200" },
    subject: { type: "string", default: "act-drizzle" },
    json: { type: "string" },
  },
});

const SCHEMA = "bench_soak";
const WORKERS = 4;
const COMMITTERS = 2;
const minutes = Number(args.minutes);
const everyMs = Number(args.every) * 1_000;
const subscriptions = Number(args.subscriptions);
const perSecond = Number(args.rate);
const log = (line: string) => process.stderr.write(`${line}\n`);

/** What the statistics collector says of the subscriptions table. */
type Counters = { updates: number; hot: number; dead: number; table: number; indexes: number };

async function counters(sql: postgres.Sql): Promise<Counters> {
  const [row] = await sql<Record<keyof Counters, string>[]>`
    select n_tup_upd as updates, n_tup_hot_upd as hot, n_dead_tup as dead,
      pg_table_size(relid) as table, pg_indexes_size(relid) as indexes
    from pg_stat_user_tables where schemaname = ${SCHEMA} and relname = 'events_streams'`;
  if (!row) throw new Error("The subscriptions table has no statistics");
  return {
    updates: Number(row.updates),
    hot: Number(row.hot),
    dead: Number(row.dead),
    table: Number(row.table),
    indexes: Number(row.indexes),
  };
}

/** Subscriptions of the reaction of every stream, caught up. */
async function fill(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    insert into "${SCHEMA}".events_streams (stream, source, at, retry, priority, lane, correlated_at)
    select 'r-s-' || lpad(g::text, 5, '0'), 's-' || lpad(g::text, 5, '0'), 0, -1, 0, 'default', 0
    from generate_series(0, ${subscriptions - 1}) g order by md5(g::text)`);
  await tidy(sql, `"${SCHEMA}".events_streams`);
}

/** An old snapshot: what dies after it can't be cleaned away. */
async function holdSnapshot(sql: postgres.Sql): Promise<() => Promise<void>> {
  const session = await sql.reserve();
  await session.unsafe("begin isolation level repeatable read");
  await session.unsafe(`select count(*) from "${SCHEMA}".events_streams`);
  return async () => {
    await session.unsafe("rollback");
    session.release();
  };
}

async function main(): Promise<void> {
  const subject = subjectById(args.subject);
  const server = await startServer(log);
  const { admin, url } = server;
  await admin.unsafe(`drop schema if exists "${SCHEMA}" cascade`);
  const options = { url, schema: SCHEMA, notify: true };
  const store = await subject.open({ ...options, notify: false });
  await store.seed();
  await fill(admin);
  const release = args.hold ? await holdSnapshot(admin) : undefined;

  let commits: number[] = [];
  let reactions: number[] = [];
  const target = { subject: subject.id, options };
  const params: PaceParams = { perSecond: perSecond / COMMITTERS, streams: Math.min(subscriptions, 100_000) };
  const workers: Worker[] = [];
  for (let n = 0; n < WORKERS; n++)
    workers.push(
      await startWorker({ name: "react", target }, (note) => reactions.push(...(note as number[]))),
    );
  for (let n = 0; n < COMMITTERS; n++)
    workers.push(
      await startWorker({ name: "pace", target, params }, (note) => commits.push(...(note as number[]))),
    );

  const samples: Sample[] = [];
  try {
    const runs = workers.map((worker) => worker.go());
    const failed = Promise.race(runs);
    const start = performance.now();
    let before = await counters(admin);
    while (performance.now() - start < minutes * 60_000) {
      await Promise.race([sleep(everyMs), failed]);
      const probes: number[] = [];
      for (let n = 0; n < 9; n++)
        probes.push(await timed(() => store.claim(5, 5, "probe", 0, "a lane of nobody")));
      const after = await counters(admin);
      const sample: Sample = {
        minute: (performance.now() - start) / 60_000,
        commits: commits.length,
        commitP50: percentile(commits, 0.5),
        commitP99: percentile(commits, 0.99),
        reactions: reactions.length,
        reactionP50: percentile(reactions, 0.5),
        reactionP99: percentile(reactions, 0.99),
        claim: median(probes),
        hot: (100 * (after.hot - before.hot)) / Math.max(1, after.updates - before.updates),
        dead: after.dead,
        tableMiB: after.table / 2 ** 20,
        indexMiB: after.indexes / 2 ** 20,
      };
      samples.push(sample);
      log(
        JSON.stringify(sample, (_, value) =>
          typeof value === "number" ? Number(value.toPrecision(4)) : value,
        ),
      );
      before = after;
      commits = [];
      reactions = [];
    }
    for (const worker of workers) worker.stop();
    await Promise.all(runs);
  } finally {
    await Promise.all(workers.map((worker) => worker.end()));
    await release?.();
    await store.dispose();
    await admin.unsafe(`drop schema if exists "${SCHEMA}" cascade`);
    await server.stop();
  }

  const soak: Soak = {
    environment: server.about,
    // Without `--json`: where the figures went says nothing.
    command: `node bench/soak.ts --minutes ${minutes} --rate ${perSecond}${args.hold ? " --hold" : ""}`,
    subject: subject.id,
    subscriptions,
    perSecond,
    held: args.hold,
    samples,
  };
  if (args.json) await writeFile(args.json, `${JSON.stringify(soak, null, 1)}\n`);
  console.log(soakVerdict(soak).join("\n"));
}

await main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
