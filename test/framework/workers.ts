/** Processes that each run an app (worker.ts), and how a test talks to them. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import type { AppFixture } from "./fixture.ts";
import type { FromWorker, ToWorker, WorkerOptions } from "./worker.ts";

export class Worker {
  readonly name: string;
  /** Ids of the events that its handlers have begun with. */
  readonly entered: number[] = [];
  /** Events that it has committed. */
  deposited = 0;
  /** How often its listener has woken it. */
  woken = 0;
  readonly #child: ChildProcess;
  readonly #exit: Promise<readonly [code: number | null, signal: string | null]>;

  private constructor(options: WorkerOptions) {
    this.name = options.name;
    this.#child = fork(fileURLToPath(new URL("./worker.ts", import.meta.url)), [JSON.stringify(options)], {
      execArgv: [],
      env: { ...process.env, NODE_ENV: "production", LOG_LEVEL: "fatal" },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child.on("message", (message: FromWorker) => {
      if ("entered" in message) this.entered.push(message.entered);
      else if ("woken" in message) this.woken++;
      else this.deposited += message.deposited;
    });
    this.#exit = once(this.#child, "exit").then(([code, signal]) => [code, signal] as const);
  }

  /** Started, and listening to the commits of others. */
  static async start(
    fixture: AppFixture,
    { config: { schema, table } }: PostgresStore,
    name: string,
    options: Partial<WorkerOptions> = {},
  ): Promise<Worker> {
    const defaults = { hold: false, leaseMillis: 30_000, streamLimit: 3, fail: false };
    const worker = new Worker({ url: fixture.url, schema, table, name, ...defaults, ...options });
    onTestFinished(async () => {
      worker.kill("SIGKILL");
      await worker.#exit;
    });
    await expect
      .poll(
        () => fixture.sql`
          select from pg_stat_activity
          where application_name = ${`${table}-${name}`} and query ilike 'listen%' and state = 'idle'`,
        { interval: 10 },
      )
      .toHaveLength(1);
    return worker;
  }

  tell(message: ToWorker): void {
    this.#child.send(message);
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(signal);
  }

  exit(): Promise<readonly [code: number | null, signal: string | null]> {
    return this.#exit;
  }
}
