/** The parent's side of the worker: starts it, hears how far it is, ends it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { CHURN, HOT_FILES } from "./read-models.ts";
import { UserError } from "./session.ts";

export type FromWorker =
  | { listening: true }
  | { woken: number; at: Record<string, number> }
  | { trouble: string }
  | { failed: string };

const SILENCE = 30_000;

export class Projector {
  readonly #child: ChildProcess;
  readonly #at = new Map([
    [CHURN, -1],
    [HOT_FILES, -1],
  ]);
  #listening = false;
  #woken = 0;
  #errors = "";
  readonly #failed = new AbortController();
  #changed = () => {};

  constructor(url: string) {
    const script = fileURLToPath(new URL("./worker.ts", import.meta.url));
    this.#child = fork(script, [], {
      env: { ...process.env, DATABASE_URL: url },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output?.on("data", (chunk: Buffer) => {
        this.#errors = (this.#errors + chunk).slice(-4_000);
      });
    }
    this.#child.on("message", (message: FromWorker) => this.#hear(message));
    this.#child.once("exit", (code, signal) => this.#fail(`The worker ended (${signal ?? code})`));
  }

  /** Events up to this id are in every read model. */
  get at(): number {
    return Math.min(...this.#at.values());
  }

  /** How many commits it was notified of. */
  get woken(): number {
    return this.#woken;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Aborts when the worker ends or gives up. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Resolves when the worker listens for commits. */
  listening(): Promise<void> {
    return this.#until(() => this.#listening);
  }

  /** Resolves when every read model holds this event. Rejects when the worker stops getting anywhere. */
  caughtUp(id: number): Promise<void> {
    return this.#until(() => this.at >= id);
  }

  /** Lets the worker finish what it is doing, and waits for its end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    if (this.#child.connected) this.#child.disconnect();
    const killTimer = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    await exit;
    clearTimeout(killTimer);
  }

  #hear(message: FromWorker): void {
    if ("listening" in message) this.#listening = true;
    else if ("trouble" in message) this.#errors = message.trouble;
    else if ("failed" in message) this.#fail(message.failed);
    else {
      this.#woken = message.woken;
      for (const [name, at] of Object.entries(message.at)) this.#at.set(name, at);
    }
    this.#changed();
  }

  #fail(what: string): void {
    this.#failed.abort(new UserError(`${what}. ${this.#errors}`.trim()));
    this.#changed();
  }

  async #until(reached: () => boolean): Promise<void> {
    while (!reached()) {
      this.failed.throwIfAborted();
      let silence: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve, reject) => {
        this.#changed = resolve;
        const complaint = `The worker got nowhere for ${SILENCE / 1_000} s. ${this.#errors}`;
        silence = setTimeout(() => reject(new UserError(complaint.trim())), SILENCE);
      });
      clearTimeout(silence);
    }
  }
}
