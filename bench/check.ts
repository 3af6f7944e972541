/**
 * `node bench/check.ts [--update] [--only …] [--rounds N]`: runs the subset and compares its ratios with
 * the committed ones. Fails when one lost more than 30 %. `--results file` compares a run that was saved.
 */
import "./lib/quiet.ts";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ratioText } from "./lib/report.ts";
import { judge, type Run } from "./lib/results.ts";

const BASELINE = fileURLToPath(new URL("./baseline.json", import.meta.url));
const RUN = fileURLToPath(new URL("./run.ts", import.meta.url));

/** A loss of more than this share of the committed ratio fails. */
const TOLERATED = 0.3;
/** No commit is worth more than this to the guard: beyond it the ratio is mostly the other side's noise. */
const CAP = 40;

type Ratios = Readonly<Record<string, number>>;

const { values: args } = parseArgs({
  options: {
    update: { type: "boolean", default: false },
    results: { type: "string" },
    only: { type: "string", multiple: true, default: [] },
    rounds: { type: "string", default: "3" },
  },
});

/** Runs the benchmark in a process of its own, as anyone would. */
async function measure(): Promise<Run> {
  const folder = await mkdtemp(join(tmpdir(), "act-drizzle-bench-"));
  try {
    const file = join(folder, "run.json");
    const only = args.only.flatMap((name) => ["--only", name]);
    const child = spawn(
      process.execPath,
      [RUN, "--no-floor", "--rounds", args.rounds, "--json", file, ...only],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
    if (code !== 0) throw new Error(`The benchmark ended with ${code}: some scenario failed`);
    return JSON.parse(await readFile(file, "utf8"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function ratiosOf(run: Run): Ratios {
  const pairs = judge(run)
    .filter(({ row, ratio }) => row.must && "times" in row.must && Number.isFinite(ratio))
    .map(({ row, ratio }) => [row.id, Number(Math.min(CAP, ratio).toFixed(2))] as const);
  return Object.fromEntries(pairs);
}

async function main(): Promise<number> {
  const run: Run = args.results ? JSON.parse(await readFile(args.results, "utf8")) : await measure();
  const now = ratiosOf(run);
  if (args.update) {
    const kept: Ratios = args.only.length ? JSON.parse(await readFile(BASELINE, "utf8")).ratios : {};
    const { environment } = run;
    const content = { date: environment.date, postgres: environment.postgres, ratios: { ...kept, ...now } };
    await writeFile(BASELINE, `${JSON.stringify(content, null, 2)}\n`);
    console.log(`Wrote ${Object.keys(now).length} ratios to bench/baseline.json`);
    return 0;
  }
  const { ratios }: { ratios: Ratios } = JSON.parse(await readFile(BASELINE, "utf8"));
  const lost = Object.entries(now).filter(([id, ratio]) => ratio < (ratios[id] ?? 0) * (1 - TOLERATED));
  for (const [id, ratio] of lost)
    console.error(`${id}: ${ratioText(ratio)}, committed ${ratioText(ratios[id] ?? Number.NaN)}`);
  const unknown = Object.keys(now).filter((id) => ratios[id] === undefined);
  if (unknown.length) console.log(`Not in bench/baseline.json yet: ${unknown.join(", ")}`);
  console.log(
    `${Object.keys(now).length} ratios compared, ${lost.length} lost more than ${TOLERATED * 100} %`,
  );
  return lost.length ? 1 : 0;
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error);
  return 1;
});
