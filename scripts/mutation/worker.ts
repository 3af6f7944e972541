/**
 * A warm worker: the tests in one process, run for one mutant after the other without loading anything again. A kill counts when the same test passes right after it with the mutant switched off.
 */
import { createConnection } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "vitest";
import { toPattern } from "../../src/values/pattern.ts";
import { type Collected, collected, setups, startFile } from "./collect.ts";
import type { Answer, Covered, Job, Verdict } from "./messages.ts";

/** The switchboard of Stryker's instrumented code. */
type Switches = {
  activeMutant?: string;
  currentTestId?: string;
  hitCount?: number;
  hitLimit?: number;
  mutantCoverage?: { static: Record<string, number>; perTest: Record<string, Record<string, number>> };
};
// The object itself, which the modules that are loaded already hold.
const switches: Switches = Reflect.get(globalThis, "__stryker__") ?? {};
Reflect.set(globalThis, "__stryker__", switches);

const root = join(import.meta.dirname, "../..");
for (const file of (process.env.MUTATION_FILES ?? "").split(" ")) {
  startFile(file);
  await import(join(root, file));
  for (const setup of setups.splice(0)) await setup();
}

let spoiled = false;

type Outcome = { readonly result: "passed" | "failed" | "timeout"; readonly refused?: boolean };

async function attempt(run: Collected["run"], patience: number): Promise<Outcome> {
  const timer = new AbortController();
  const late = delay(patience, "late" as const, { signal: timer.signal }).catch(() => "late" as const);
  try {
    const first = await Promise.race([run().then(() => "done" as const), late]);
    if (first === "late") spoiled = true;
    return { result: first === "done" ? "passed" : "timeout" };
  } catch (error) {
    return { result: "failed", refused: isRefused(error) };
  } finally {
    timer.abort();
  }
}

/** Class 42 of SQLSTATE: what PostgreSQL could not read, or not resolve. */
function isRefused(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if ("code" in at && typeof at.code === "string" && /^42(?!501)/.test(at.code)) return true;
  return false;
}

let flushed = 0;
/** Patterns are read once and kept: with and without the mutant they must be read anew. */
function forgetPatterns(): void {
  for (let i = 0; i < 501; i++) toPattern("stream", `pattern${flushed++}`);
}

async function cover(part: number, parts: number, known: ReadonlySet<string>): Promise<Answer> {
  const statics = Object.keys(switches.mutantCoverage?.static ?? {});
  const covered: Covered[] = [];
  for (const [i, { run, name, file }] of collected.entries()) {
    if (i % parts !== part || known.has(name)) continue;
    forgetPatterns();
    switches.currentTestId = String(i);
    const start = performance.now();
    const { result } = await attempt(run, 60_000);
    const millis = performance.now() - start;
    switches.currentTestId = "between";
    covered.push({
      test: i,
      file,
      name,
      millis,
      passed: result === "passed",
      hits: switches.mutantCoverage?.perTest[i] ?? {},
    });
    say({ kind: "alive" });
  }
  return { kind: "covered", tests: covered, names: collected.map(({ name }) => name), statics };
}

async function judge({ id, keep, fixed, tests }: Extract<Job, { kind: "mutant" }>): Promise<Verdict> {
  for (const { test: index, hits, millis } of tests) {
    const { run, name } = collected[index] ?? {};
    if (!run || !name) continue;
    const patience = 20_000 + 15 * millis;
    const mutated = () => {
      if (!keep) forgetPatterns();
      Object.assign(switches, { activeMutant: id, hitCount: 0, hitLimit: 1_000 + 100 * hits });
      return attempt(run, patience).finally(() => {
        switches.activeMutant = "";
        say({ kind: "alive" });
      });
    };
    const start = performance.now();
    const first = await mutated();
    const slow = performance.now() - start > 500 + 5 * millis;
    if (first.result === "passed") continue;
    if (first.result === "timeout") return { status: "timeout", by: name };
    if (!keep) forgetPatterns();
    if (!fixed && (await attempt(run, patience)).result !== "passed") return { status: "unclear", by: name };
    // What took long may have failed because the machine is busy: once more. So too without that proof.
    if ((slow || fixed) && !first.refused && (await mutated()).result === "passed") continue;
    return { status: first.refused ? "refused" : "killed", by: name };
  }
  return { status: "survived" };
}

const socket = createConnection(process.env.MUTATION_SOCKET ?? "");
const say = (answer: Answer) => void socket.write(`${JSON.stringify(answer)}\n`);

test("mutants", { timeout: 0 }, async () => {
  for await (const text of createInterface({ input: socket })) {
    const job: Job = JSON.parse(text);
    if (job.kind === "cover") say(await cover(job.part, job.parts, new Set(job.known)));
    else say({ kind: "verdict", ...(await judge(job)), spoiled });
  }
});
