/** The warm workers: their processes, what they are given, and what happens when one of them hangs. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { Answer, Covered, Job, TestRun, Verdict } from "./messages.ts";
import type { Mutant } from "./mutants.ts";
import { WARM } from "./tests.ts";

/** A worker that says nothing for so long is in a loop that never ends. */
const SILENCE = 180_000;
/** Mutants after which a worker starts afresh, rid of what they have left behind. */
const SHIFT = 200;

export type Warm = {
  readonly tests: readonly Covered[];
  /** What code that runs only while modules load holds: not to be switched on in a warm worker. */
  readonly statics: ReadonlySet<string>;
  run(mutants: readonly Mutant[], told: (mutant: Mutant, verdict: Verdict) => void): Promise<void>;
};

class Worker {
  #process: ChildProcess | undefined;
  #socket: Socket | undefined;
  #lines: AsyncIterator<string> | undefined;
  #done = 0;
  readonly #folder: string;
  readonly #url: string;
  readonly #path: string;
  #server: Server | undefined;

  constructor(folder: string, url: string, number: number) {
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
          TEST_DATABASE_URL: this.#url,
          MUTATION_SOCKET: this.#path,
          MUTATION_FILES: WARM.join(" "),
        },
      },
    );
    this.#process = child;
    this.#done = 0;
    return await new Promise<Socket>((resolve, reject) => {
      server.once("connection", resolve);
      child.once("exit", () => reject(new Error("a warm worker could not start")));
    });
  }

  /** What the worker answers; undefined when it had to be ended. */
  async ask(job: Job): Promise<Exclude<Answer, { kind: "alive" }> | undefined> {
    const socket = this.#socket ?? (await this.#start());
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
    process.kill(-child.pid, "SIGKILL");
    await gone;
  }
}

/**
 * Tests that reach the mutant: those that killed most in this file or reach most of it, and every other one the
 * quickest that is left, for what only a small test looks at.
 */
function chosen(
  mutant: Mutant,
  tests: readonly Covered[],
  ranks: ReadonlyMap<number, number>,
  kills: ReadonlyMap<number, number>,
  budget: number,
): TestRun[] {
  const reach = tests.flatMap(({ test, hits, passed, millis }) => {
    const found = hits[mutant.id];
    return passed && found !== undefined ? [{ test, hits: found, millis }] : [];
  });
  const score = ({ test, millis }: TestRun) =>
    (1_000 * (kills.get(test) ?? 0) + (ranks.get(test) ?? 0)) / (5 + millis);
  const likely = reach.toSorted((a, b) => score(b) - score(a));
  const quick = reach.toSorted((a, b) => a.millis - b.millis);
  let spent = 0;
  return [...new Set(likely.flatMap((run, i) => [run, quick[i] ?? run]))].filter(({ millis }) => {
    spent += millis;
    return spent <= budget;
  });
}

export async function startWarm(
  folder: string,
  url: string,
  concurrency: number,
  budget: number,
): Promise<Warm> {
  const workers = Array.from({ length: concurrency }, (_, i) => new Worker(folder, url, i));
  const parts = await Promise.all(
    workers.map(async (worker, part) => {
      const answer = await worker.ask({ kind: "cover", part, parts: workers.length });
      if (answer?.kind !== "covered") throw new Error("the tests do not run in a warm worker");
      return answer;
    }),
  );
  const tests = parts.flatMap((part) => part.tests).sort((a, b) => a.test - b.test);

  const run: Warm["run"] = async (mutants, told) => {
    const files = Map.groupBy(mutants, ({ file }) => file);
    const ranks = new Map(
      [...files].map(([file, own]) => [
        file,
        new Map(tests.map(({ test, hits }) => [test, own.filter(({ id }) => id in hits).length])),
      ]),
    );
    const kills = new Map([...files.keys()].map((file) => [file, new Map<number, number>()]));
    const byName = new Map(tests.map(({ test, name }) => [name, test]));
    const queue = [...mutants];
    const work = async (worker: Worker) => {
      for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
        const own = kills.get(mutant.file) ?? new Map<number, number>();
        let runs = chosen(mutant, tests, ranks.get(mutant.file) ?? new Map(), own, budget);
        if (runs.length === 0) {
          told(mutant, { status: "no coverage" });
          continue;
        }
        for (let tries = 0; ; tries++) {
          const answer = await worker.ask({ kind: "mutant", id: mutant.id, tests: runs });
          const verdict: Verdict = answer?.kind === "verdict" ? answer : { status: "timeout" };
          if (verdict.status === "unclear" && tries < 3) {
            console.log(`fails without the mutant as well: ${verdict.by}`);
            // Perhaps another mutant's remains: again in a fresh process, then without that test.
            await worker.end();
            if (tries > 0) runs = runs.filter(({ test }) => test !== byName.get(verdict.by ?? ""));
            continue;
          }
          const killer = byName.get(verdict.by ?? "");
          if (verdict.status === "killed" && killer !== undefined)
            own.set(killer, (own.get(killer) ?? 0) + 1);
          told(mutant, { status: verdict.status, by: verdict.by });
          break;
        }
      }
      await worker.end();
    };
    await Promise.all(workers.map(work));
  };
  return { tests, statics: new Set(parts.flatMap((part) => part.statics)), run };
}
