/** The warm workers: their processes, what they are given, and what happens when one of them hangs. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { Answer, Covered, Job, TestRun, Verdict } from "./messages.ts";
import type { Mutant } from "./mutants.ts";
import { recallCover } from "./recall.ts";
import { isTopical, TESTS } from "./tests.ts";

/** A worker that says nothing for so long is in a loop that never ends. */
const SILENCE = 180_000;
/** Mutants after which a worker starts afresh, rid of what they have left behind. */
const SHIFT = 200;

type Told = (mutant: Mutant, verdict: Verdict) => void;

export type Warm = {
  readonly tests: readonly Covered[];
  run(mutants: readonly Mutant[], told: Told): Promise<void>;
};

/** They lead groups of their own, which nobody else ends when this process does. */
const running = new Set<number>();
process.once("exit", () => {
  for (const pid of running) killGroup(pid);
});

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // It was gone already.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

class Worker {
  #process: ChildProcess | undefined;
  #socket: Socket | undefined;
  #lines: AsyncIterator<string> | undefined;
  #done = 0;
  readonly #folder: string;
  readonly #url: string;
  readonly #path: string;
  readonly #env: Readonly<Record<string, string>>;
  #server: Server | undefined;

  constructor(folder: string, url: string, number: number, env: Readonly<Record<string, string>> = {}) {
    this.#env = env;
    this.#folder = folder;
    this.#url = url;
    this.#path = join(folder, `worker-${number}.sock`);
  }

  async #start(): Promise<Socket> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(this.#path, resolve));
    this.#server = server;
    const child = spawn(
      "node_modules/.bin/vitest",
      ["run", "--config", "scripts/mutation/vitest.config.ts"],
      {
        cwd: this.#folder,
        detached: true,
        stdio: ["ignore", "ignore", process.env.MUTATION_DEBUG ? "inherit" : "ignore"],
        env: {
          ...process.env,
          ...this.#env,
          TEST_DATABASE_URL: this.#url,
          MUTATION_SOCKET: this.#path,
          MUTATION_FILES: TESTS.join(" "),
        },
      },
    );
    this.#process = child;
    const { pid } = child;
    if (pid) running.add(pid);
    child.once("exit", () => pid && running.delete(pid));
    this.#done = 0;
    return await new Promise<Socket>((resolve, reject) => {
      server.once("connection", resolve);
      child.once("exit", () => reject(new Error("a warm worker could not start")));
    });
  }

  /** What the worker answers; undefined when it had to be ended. */
  async ask(job: Job): Promise<Exclude<Answer, { kind: "alive" }> | undefined> {
    // On a machine that is busy a start may fail.
    const again = async () => {
      await this.end();
      return this.#start();
    };
    const socket = this.#socket ?? (await this.#start().catch(again));
    this.#socket = socket;
    this.#lines ??= createInterface({ input: socket })[Symbol.asyncIterator]();
    socket.write(`${JSON.stringify(job)}\n`);
    for (;;) {
      const timer = new AbortController();
      const silent = delay(SILENCE, undefined, { signal: timer.signal }).catch(() => undefined);
      const next = await Promise.race([this.#lines.next(), silent]);
      timer.abort();
      if (!next || next.done) {
        console.log(next ? "a worker ended by itself" : "a worker has hung");
        await this.end();
        return undefined;
      }
      const answer: Answer = JSON.parse(next.value);
      if (answer.kind === "alive") continue;
      if (answer.kind === "verdict" && (answer.spoiled || ++this.#done >= SHIFT)) {
        if (answer.spoiled) console.log(`a worker starts afresh after ${answer.by}`);
        await this.end();
      }
      return answer;
    }
  }

  async end(): Promise<void> {
    const child = this.#process;
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#lines = undefined;
    this.#process = undefined;
    await new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()));
    this.#server = undefined;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    // The group that it leads: vitest and its fork.
    killGroup(child.pid);
    await gone;
  }
}

/**
 * Tests that reach the mutant: those that killed most in this file, those that are about it, the others. Quick ones
 * before slow ones.
 */
function chosen(
  mutant: Mutant,
  tests: readonly Covered[],
  kills: ReadonlyMap<string, number>,
  budget: number,
): TestRun[] {
  const reach = tests.flatMap(({ test, name, hits, passed, millis }) => {
    const found = hits[mutant.id];
    if (!passed || found === undefined) return [];
    // Small tests were written for what the large ones had let through.
    const topical = isTopical(mutant.file, name) ? (name.startsWith("test/conformance") ? 10 : 50) : 1;
    const weight = topical + 3 * (kills.get(name) ?? 0);
    return [{ run: { test, hits: found, millis }, score: weight / (10 + millis) }];
  });
  let spent = 0;
  return reach
    .sort((a, b) => b.score - a.score)
    .map(({ run }) => run)
    .filter(({ millis }) => {
      spent += millis;
      return spent <= budget;
    });
}

export async function startWarm(
  folder: string,
  url: string,
  concurrency: number,
  budget: number,
  /** Of every mutant its file. */
  files: ReadonlyMap<string, string>,
): Promise<Warm> {
  const workers = Array.from({ length: concurrency }, (_, i) => new Worker(folder, url, i));
  const before = recallCover(folder);
  const known = [...before.tests.keys()];
  const parts = await Promise.all(
    workers.map(async (worker, part) => {
      const answer = await worker.ask({ kind: "cover", part, parts: workers.length, known });
      if (answer?.kind !== "covered") throw new Error("the tests do not run in a warm worker");
      return answer;
    }),
  );
  const fresh = new Map(parts.flatMap((part) => part.tests).map((one) => [one.name, one]));
  const tests = (parts[0]?.names ?? []).flatMap((name, test) => {
    const one = fresh.get(name) ?? before.tests.get(name);
    return one ? [{ ...one, test }] : [];
  });
  before.save(tests);

  const statics = new Set(parts.flatMap((part) => part.statics));

  /** What is decided while modules load has a process of its own, and the tests that reach the rest of its file. */
  async function alone(mutant: Mutant, number: number): Promise<Verdict> {
    const near = tests.flatMap((one) => {
      const found = Object.entries(one.hits).find(([id]) => files.get(id) === mutant.file);
      return found ? [{ ...one, hits: { [mutant.id]: found[1] } }] : [];
    });
    const runs = chosen(mutant, near, new Map(), budget);
    if (runs.length === 0) return { status: "no coverage" };
    const worker = new Worker(folder, url, concurrency + number, { __STRYKER_ACTIVE_MUTANT__: mutant.id });
    try {
      const job: Job = { kind: "mutant", id: mutant.id, keep: true, fixed: true, tests: runs };
      const answer = await worker.ask(job);
      return answer?.kind === "verdict" ? { status: answer.status, by: answer.by } : { status: "timeout" };
    } catch {
      return { status: "killed", by: "the tests do not load" };
    } finally {
      await worker.end();
    }
  }

  const run: Warm["run"] = async (mutants, told) => {
    const kills = new Map(mutants.map(({ file }) => [file, new Map<string, number>()]));
    const queue = [...mutants];
    const work = async (worker: Worker, number: number) => {
      for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
        const own = kills.get(mutant.file) ?? new Map<string, number>();
        let runs = chosen(mutant, tests, own, budget);
        const keep = !mutant.file.endsWith("pattern.ts");
        if (runs.length === 0) {
          told(mutant, statics.has(mutant.id) ? await alone(mutant, number) : { status: "no coverage" });
          continue;
        }
        for (let tries = 0; ; tries++) {
          const answer = await worker.ask({ kind: "mutant", id: mutant.id, keep, fixed: false, tests: runs });
          const verdict: Verdict = answer?.kind === "verdict" ? answer : { status: "timeout" };
          if (verdict.status === "unclear" && tries < 3) {
            console.log(`fails without the mutant as well: ${verdict.by}`);
            // Perhaps another mutant's remains: again in a fresh process, then without that test.
            await worker.end();
            if (tries > 0) runs = runs.filter(({ test }) => tests[test]?.name !== verdict.by);
            continue;
          }
          if (verdict.status === "killed" && verdict.by) own.set(verdict.by, (own.get(verdict.by) ?? 0) + 1);
          told(mutant, { status: verdict.status, by: verdict.by });
          break;
        }
      }
      await worker.end();
    };
    await Promise.all(workers.map(work));
  };
  return { tests, run };
}
