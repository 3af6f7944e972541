/** Stores in processes of their own (client.ts), and how a test talks to them. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { PostgresStoreOptions } from "../../../src/index.ts";
import type { FromClient, Tally, ToClient } from "./tally.ts";

export class Client {
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  #killed = false;

  private constructor(options: PostgresStoreOptions) {
    this.#child = fork(fileURLToPath(new URL("./client.ts", import.meta.url)), [JSON.stringify(options)], {
      execArgv: [],
      env: { ...process.env, NODE_ENV: "production", LOG_LEVEL: "fatal" },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#exit = once(this.#child, "exit");
  }

  /** Killed when the test ends. */
  static async start(options: PostgresStoreOptions): Promise<Client> {
    const client = new Client(options);
    onTestFinished(() => client.kill());
    await client.#answer((message) => (message === "ready" ? true : undefined));
    return client;
  }

  async kill(): Promise<void> {
    this.#killed = true;
    this.#child.kill("SIGKILL");
    await this.#exit;
  }

  /** Stops the process where it is, or lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  tell(message: ToClient): void {
    this.#child.send(message);
  }

  /** Resolves once all that it was told to commit has settled. */
  async commit(what: { calls: number; events?: number; bytes?: number }): Promise<Tally> {
    const done = this.#done();
    this.tell({ commit: { events: 1, bytes: 0, ...what } });
    return done;
  }

  /** Commits until it is told to end, and answers then. */
  loop(bytes = 0): { end(): Promise<Tally> } {
    const done = this.#done();
    this.tell({ loop: { bytes } });
    return {
      end: () => {
        this.tell({ end: true });
        return done;
      },
    };
  }

  async tally(): Promise<Tally> {
    const answer = this.#answer((message) =>
      typeof message === "object" && "tally" in message ? message.tally : undefined,
    );
    this.tell({ tally: true });
    return answer;
  }

  /** Blocks its event loop for so many ms; resolves when that begins. */
  async block(millis: number): Promise<void> {
    const blocked = this.#answer((message) => (message === "blocked" ? true : undefined));
    this.tell({ block: millis });
    await blocked;
  }

  #done(): Promise<Tally> {
    return this.#answer((message) =>
      typeof message === "object" && "done" in message ? message.done : undefined,
    );
  }

  /** The first message that is the answer. */
  #answer<T>(read: (message: FromClient) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#child.off("message", onMessage);
        this.#child.off("exit", onExit);
      };
      const onMessage = (message: FromClient) => {
        const answer = read(message);
        if (answer === undefined) return;
        stop();
        resolve(answer);
      };
      const onExit = (code: number | null, signal: string | null) => {
        stop();
        // At the end of a test nobody waits for the answer any more.
        if (!this.#killed) reject(new Error(`The client ended with ${code ?? signal}`));
      };
      this.#child.on("message", onMessage);
      this.#child.on("exit", onExit);
    });
  }
}
