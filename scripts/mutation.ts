/**
 * `npm run test:mutation`: changes src/events, src/streams and src/codec in every small way, one at a time, and
 * counts what the tests notice. Writes docs/reports/mutation.md. Takes hours.
 *
 *   --only PATH   mutants of files whose path contains it
 *   --sample N    N of them, spread evenly
 *   --left        only those that no earlier run has seen killed, unless nothing can kill them
 *   --budget MS   of test time per mutant, default 12000; what no test has noticed by then lives
 *   --docs        no run: writes the page from what earlier runs found
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../dev/postgres/index.ts";
import { makeCopy } from "./mutation/copy.ts";
import type { Verdict } from "./mutation/messages.ts";
import type { Mutant } from "./mutation/mutants.ts";
import { PROSE } from "./mutation/prose.ts";
import { reasonFor } from "./mutation/reasons.ts";
import { MEMORY } from "./mutation/recall.ts";
import { writePage } from "./mutation/report.ts";
import { startWarm } from "./mutation/warm.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    sample: { type: "string" },
    left: { type: "boolean" },
    budget: { type: "string", default: "12000" },
    docs: { type: "boolean" },
  },
});

const CONCURRENCY = 2;
const root = join(import.meta.dirname, "..");
/** Not in the repository: what has been found so far, by mutant. */
const memory = join(MEMORY, "mutants.json");

// Whoever else works on this machine comes first.
setPriority(19);

function recall(): Map<string, Verdict> {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(memory, "utf8"))));
  } catch {
    return new Map();
  }
}

const known = recall();
const copy = await makeCopy(root);
const page = join(root, "docs/reports/mutation.md");

function choose(): Mutant[] {
  const open = (mutant: Mutant) => {
    const status = known.get(mutant.key)?.status;
    return status === undefined || !(status === "killed" || status === "refused" || reasonFor(mutant)?.same);
  };
  const all = copy.mutants.filter(
    (mutant) => (!values.only || mutant.file.includes(values.only)) && (!values.left || open(mutant)),
  );
  // Statements first: that is where the decisions are. The rest in no order, so that any beginning is a sample. Last
  // what took a process of its own.
  const order = ({ mutator, key }: Mutant) => {
    const rank = known.get(key)?.status === "no coverage" ? 2 : mutator.startsWith("SQL") ? 0 : 1;
    return `${rank}${createHash("sha1").update(key).digest("hex")}`;
  };
  const places = new Map(all.map((mutant) => [mutant, order(mutant)]));
  all.sort((a, b) => ((places.get(a) ?? "") < (places.get(b) ?? "") ? -1 : 1));
  const wanted = values.sample ? Number(values.sample) : all.length;
  const step = Math.max(1, all.length / wanted);
  return Array.from({ length: Math.min(all.length, wanted) }, (_, i) => all[Math.floor(i * step)]).filter(
    (m) => m !== undefined,
  );
}

function remember(mutant: Mutant, verdict: Verdict): void {
  known.set(mutant.key, verdict);
  told++;
  if (told % 25 === 0) save();
  const { file, line, mutator, original, replacement } = mutant;
  const change = `${original} → ${replacement}`.replaceAll(/\s+/g, " ").slice(0, 110);
  console.log(`${told} ${verdict.status} ${file}:${line} ${mutator}: ${change}`);
}

function save(): void {
  mkdirSync(dirname(memory), { recursive: true });
  writeFileSync(memory, JSON.stringify(Object.fromEntries(known)));
}

let told = 0;
// The workers end when this process does; what they found stays.
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => {
    save();
    copy.remove();
    process.exit(1);
  });
try {
  if (!values.docs) await runOnServer();
  writePage(page, PROSE, copy.mutants, known);
} finally {
  copy.remove();
}

async function runOnServer(): Promise<void> {
  const server = await startPostgres({ url: process.env.TEST_DATABASE_URL, prefer: "embedded" });
  try {
    await run(server.url, choose());
  } finally {
    save();
    await server.stop();
  }
}

async function run(url: string, mutants: readonly Mutant[]): Promise<void> {
  console.log(`${mutants.length} mutants of ${copy.mutants.length}`);
  const files = new Map(copy.mutants.map(({ id, file }) => [id, file]));
  const warm = await startWarm(copy.folder, url, CONCURRENCY, Number(values.budget), files);
  const failing = warm.tests.filter(({ passed }) => !passed).map(({ name }) => name);
  if (failing.length > 0) console.log(`Left out, for they fail without a mutant:\n${failing.join("\n")}`);
  await warm.run(mutants, remember);
}
