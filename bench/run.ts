/**
 * `node bench/run.ts [--all] [--only <scenario>] [--rounds N] [--json out.json] …`: every scenario, ours
 * against the baseline, alternately, on one server. See `--help`.
 */
import "./lib/quiet.ts";
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { writeDocs } from "../scripts/generate-docs.ts";
import { BENCHMARK_PARTS, RESULTS } from "./docs.ts";
import { terminalTable } from "./lib/report.ts";
import { judge, merged, type Run, type ScenarioResult } from "./lib/results.ts";
import { createBench, type RunOptions, runScenario } from "./lib/runner.ts";
import { startServer } from "./lib/server.ts";
import type { Subject } from "./lib/types.ts";
import { scenarios } from "./scenarios/index.ts";
import { baseline, ours, twin } from "./subjects/index.ts";
import { peers } from "./subjects/peers.ts";

const HELP = `node bench/run.ts [options]

  --all             full sizes, longer loops, 5 rounds, the peers from npm
  --only <name>     scenarios whose name begins so (repeatable; comma-separated)
  --rounds <n>      rounds per subject (default 3, with --all 5)
  --millis <n>      length of a measured loop (default 1000, with --all 4000)
  --json <file>     write the results
  --list            name the scenarios
  --aa              the baseline against itself: how much is noise
  --no-floor        without the floors
  --peers           with the peers from npm (installed into the temp folder)
  --docs            keep the results in bench/results.json, and write docs/reports/performance.md;
                    with --only the other scenarios keep theirs

The server is BENCH_DATABASE_URL, else TEST_DATABASE_URL, else one that is started for the run.`;

const { values: args } = parseArgs({
  options: {
    all: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    rounds: { type: "string" },
    millis: { type: "string" },
    json: { type: "string" },
    list: { type: "boolean", default: false },
    aa: { type: "boolean", default: false },
    "no-floor": { type: "boolean", default: false },
    peers: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const log = (line: string) => process.stderr.write(`${line}\n`);

async function main(): Promise<number> {
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  if (args.list) {
    for (const { name, title, extra } of scenarios)
      console.log(`${name.padEnd(24)} ${title}${extra ? " (--all)" : ""}`);
    return 0;
  }
  const only = args.only.flatMap((names) => names.split(","));
  const chosen = scenarios.filter(({ name, extra }) =>
    only.length ? only.some((prefix) => name.startsWith(prefix)) : args.all || !extra,
  );
  const unknown = only.filter((prefix) => !scenarios.some(({ name }) => name.startsWith(prefix)));
  if (unknown.length > 0) {
    const names = scenarios.map(({ name }) => name).join(", ");
    console.error(`No scenario begins with ${unknown.join(" or ")}. Choose of: ${names}`);
    return 1;
  }

  const options: RunOptions = {
    rounds: Number(args.rounds ?? (args.all ? 5 : 3)),
    millis: Number(args.millis ?? (args.all ? 4_000 : 1_000)),
    full: args.all,
    floors: !args["no-floor"],
    log,
  };
  const pair: readonly [Subject, Subject] = args.aa ? [twin, baseline] : [ours, baseline];
  const invited = args.peers || (args.all && !args.aa) ? peers : [];
  const server = await startServer(log);
  const { bench, clean } = createBench(server, options);
  const results: ScenarioResult[] = [];
  const started = performance.now();
  const runOf = (): Run => ({
    environment: server.about,
    command: ["node bench/run.ts", ...process.argv.slice(2)].join(" "),
    subjects: Object.fromEntries([
      ...[...pair, ...invited].map(({ id, title }) => [id, title]),
      ["floor", "floor"],
    ]),
    scenarios: results,
  });
  try {
    for (const scenario of chosen) {
      log(`${Math.round((performance.now() - started) / 1_000)} s  ${scenario.name}: ${scenario.title}`);
      const guests = invited.filter(({ id }) => scenario.peers?.includes(id));
      const subjects = scenario.alone ? pair.slice(0, 1) : [...pair, ...guests];
      results.push(await runScenario(bench, scenario, subjects, server.postmaster, options));
      // After each one: a run that is cut short keeps what it has.
      if (args.json) await writeFile(args.json, `${JSON.stringify(runOf(), null, 1)}\n`);
    }
  } finally {
    await clean();
    await server.stop();
  }

  const run = runOf();
  const judged = judge(run, pair[0].id, pair[1].id);
  if (args.docs) {
    const kept: Run = only.length > 0 ? merged(JSON.parse(await readFile(RESULTS, "utf8")), run) : run;
    await writeFile(RESULTS, `${JSON.stringify(kept, null, 1)}\n`);
    await writeDocs({ only: BENCHMARK_PARTS });
  }
  console.log(terminalTable(judged));
  const missed = judged.filter(({ verdict }) => verdict === "miss").length;
  const passed = judged.filter(({ verdict }) => verdict === "pass").length;
  console.log(`${passed} rows pass, ${missed} miss; ${Math.round((performance.now() - started) / 1_000)} s`);
  return results.some(({ failures }) => Object.keys(failures).length > 0) ? 1 : 0;
}

// Otherwise the framework would answer an error with a log line, and exit code 0.
process.exitCode = await main().catch((error: unknown) => {
  console.error(error);
  return 1;
});
