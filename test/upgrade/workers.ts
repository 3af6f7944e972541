/** Processes of an app on a release of one's choice (worker.ts). */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { Entry } from "../faults/kit/entry.ts";
import type { TableName } from "../order/lock.ts";

export type WorkerOptions = TableName & {
  /** URL of the release's module. */
  readonly release: string;
  /** Its name, as no other has it. */
  readonly worker: string;
};

type Commit = readonly [token: string, Omit<Entry, "at">];

export type Report = {
  readonly acknowledged: Commit[];
  /** Not in the log: lost races, and failures. */
  readonly refused: Commit[];
  /** Whatever else failed, in words. */
  readonly failures: string[];
  /** What reactions handled: the events of their source beyond `from`, up to `to`. */
  readonly handled: { readonly stream: string; readonly from: number; readonly to: number }[];
  /** Ids, in the order in which a reader saw them that tails the log. */
  readonly tail: number[];
};

export type FromWorker =
  | { readonly kind: "seeded" }
  | { readonly kind: "committed" }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "report"; readonly report: Report };

export class Worker {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #seeded = false;
  #commits = 0;
  #failure: string | undefined;
  #report: Report | undefined;

  /** Resolves once its `seed()` has; rejects with what it failed for. */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options);
    await worker.#until("seeded", () => worker.#seeded);
    return worker;
  }

  private constructor(options: WorkerOptions) {
    this.#child = fork(fileURLToPath(new URL("./worker.ts", import.meta.url)), [JSON.stringify(options)], {
      execArgv: [],
      env: { ...process.env, LOG_LEVEL: "fatal" },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child.on("message", (message: FromWorker) => this.#receive(message));
    // Its last message may come after its exit, but not after the end of the channel.
    const end = Promise.all([once(this.#child, "exit"), once(this.#child, "disconnect")]);
    this.#ended = end.then(([[code, signal]]) => {
      if (this.#failure !== undefined) throw new Error(this.#failure);
      if (code !== 0) throw new Error(`A worker ended with ${code ?? signal}`);
    });
    this.#ended.catch(() => {});
    onTestFinished(async () => {
      this.#child.kill("SIGKILL");
      await this.#ended.catch(() => {});
    });
  }

  /** Resolves once so many more commits were acknowledged than now. */
  more(commits: number): Promise<void> {
    const goal = this.#commits + commits;
    return this.#until(`${goal} commits`, () => this.#commits >= goal);
  }

  /** Lets it finish what it has begun, and end. */
  async stop(): Promise<Report> {
    this.#child.send("stop");
    await this.#ended;
    if (!this.#report) throw new Error("A worker ended without a report");
    return this.#report;
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "seeded":
        this.#seeded = true;
        break;
      case "committed":
        this.#commits++;
        break;
      case "failed":
        this.#failure = message.why;
        break;
      case "report":
        this.#report = message.report;
    }
    for (const look of this.#waiting) look();
  }

  async #until(what: string, isReached: () => boolean): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      const look = () => {
        if (!isReached()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
    const ended = this.#ended.then(() => {
      throw new Error(`A worker ended before ${what}`);
    });
    await Promise.race([reached, ended]);
  }
}
