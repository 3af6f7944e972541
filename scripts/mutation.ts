/**
 * `npm run test:mutation`: changes src/events, src/streams and src/codec in every small way, one at a time, and
 * counts what the tests notice. Writes docs/mutation.md. Takes hours.
 *
 *   --only PATH   mutants of files whose path contains it
 *   --sample N    N of them, spread evenly
 *   --again       only those that an earlier run has not seen killed
 *   --budget MS   of test time per mutant in the conformance suite, default 12000
 *   --warm        the conformance suite only
 *   --docs        no run: writes the page from what earlier runs found
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../test/server/index.ts";
import { Cold } from "./mutation/cold.ts";
import { makeCopy } from "./mutation/copy.ts";
import type { Verdict } from "./mutation/messages.ts";
import type { Mutant } from "./mutation/mutants.ts";
import { PROSE } from "./mutation/prose.ts";
import { writePage } from "./mutation/report.ts";
import { startWarm } from "./mutation/warm.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    sample: { type: "string" },
    again: { type: "boolean" },
    budget: { type: "string", default: "12000" },
    warm: { type: "boolean" },
    docs: { type: "boolean" },
  },
});

const CONCURRENCY = 2;
const root = join(import.meta.dirname, "..");
/** Not in the repository: what has been found so far, by mutant. */
const memory = join(root, "node_modules/.cache/act-drizzle-mutation.json");

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
const page = join(root, "docs/mutation.md");

function choose(): Mutant[] {
  const all = copy.mutants.filter(
    ({ file, key }) =>
      (!values.only || file.includes(values.only)) &&
      (!values.again || !["killed", "refused"].includes(known.get(key)?.status ?? "")),
  );
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
  const warm = await startWarm(copy.folder, url, CONCURRENCY, Number(values.budget));
  const failing = warm.tests.filter(({ passed }) => !passed).map(({ name }) => name);
  if (failing.length > 0) console.log(`Left out, for they fail without a mutant:\n${failing.join("\n")}`);
  const left: Mutant[] = [];
  await warm.run(mutants, (mutant, verdict) => {
    remember(mutant, verdict);
    if (!["killed", "refused", "timeout"].includes(verdict.status)) left.push(mutant);
  });
  if (values.warm || left.length === 0) return;
  console.log(`${left.length} for the tests beside the conformance suite`);
  const cold = new Cold(copy.folder, url);
  await cold.measure();
  const work = async () => {
    for (let mutant = left.shift(); mutant; mutant = left.shift()) {
      const verdict = await cold.judge(mutant, warm.statics.has(mutant.id));
      // Reached by the conformance suite, and by nothing else.
      const seen = known.get(mutant.key)?.status;
      remember(mutant, verdict.status === "no coverage" ? { status: seen ?? verdict.status } : verdict);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}
