import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { userEnvironment } from "../support/environment.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** As the npm scripts run an example: `act-drizzle` is src/. */
const source = ["--import", pathToFileURL(join(root, "dev/source.ts")).href];

/** A script of this repository, run as a process, with what it says. */
export class Program {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #closed: Promise<number | null>;
  #open = true;
  #said = Promise.withResolvers<void>();
  output = "";

  /** Starts it with this environment and PATH only: not with what the test runner sets, such as NODE_ENV. */
  constructor(script: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
    this.#name = [script, ...args].join(" ");
    this.#child = spawn(process.execPath, [...source, join(root, script), ...args], {
      // A process group of its own, as a terminal gives it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...userEnvironment(), ...env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
        this.#wake();
      });
    }
    this.#closed = once(this.#child, "close").then(([code]) => {
      this.#open = false;
      this.#wake();
      return code;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when the output matches. Rejects when the program ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output);
      if (found) return found;
      if (!this.#open) throw new Error(`${this.#name} ended without saying ${pattern}:\n${this.output}`);
      await this.#said.promise;
    }
  }

  /** Its exit code, once it has ended and all output is here. */
  ended(): Promise<number | null> {
    return this.#closed;
  }

  /** Signals the process, and gives its exit code. */
  end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.#open) this.#child.kill(signal);
    return this.#closed;
  }

  /** As Ctrl-C does: signals the whole group, and gives the exit code of the first process. */
  interrupt(): Promise<number | null> {
    if (this.#open) process.kill(-this.pid, "SIGINT");
    return this.#closed;
  }

  /** True while any process of its group is there. */
  get groupRuns(): boolean {
    try {
      return process.kill(-this.pid, 0);
    } catch {
      return false;
    }
  }

  #wake(): void {
    this.#said.resolve();
    this.#said = Promise.withResolvers();
  }
}
