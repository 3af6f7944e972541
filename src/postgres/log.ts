/** Logs slow statements and lost connections, but never a statement's text. */
import { log } from "@rotorsoft/act";
import { ConnectionError, sanitize } from "../errors.ts";
import type { Config } from "../options/config.ts";
import { alsoLeftOut, Throttle } from "../values/throttle.ts";

/** The store closed the connection itself, and nothing was lost. */
const INTENDED = new Set<string | undefined>([
  ...["CONNECTION_ENDED", "SESSION_FAILED", "BUDGET", "SUSPECT", "YIELDED"],
  ...["SEQUENCE_CHANGED", "CLOCK_CHANGED"],
]);

/** Whether the store itself has closed a connection that ended so. */
export const isIntended = (error: Error | undefined): boolean =>
  error instanceof ConnectionError && INTENDED.has(error.code);

export class DatabaseLog {
  readonly #config: Config;
  readonly #name: string;
  readonly #throttle = new Throttle();
  /** A lost connection was logged, and none has been opened since. */
  #lost = false;

  /** `name`: whose connections they are, as it reads in a message. */
  constructor(config: Config, name = `"${config.schema}"."${config.table}"`) {
    this.#config = config;
    this.#name = name;
  }

  get #prefix(): string {
    return `[act-drizzle] ${this.#name}`;
  }

  /**
   * Called after each statement. `since`: the instant of `performance.now()` at which it was called. `began`: when it had
   * its connection. `what`: how the message names it, if not by its verb.
   */
  ended(verb: string, since: number, began: number, what = verb): void {
    const limit = this.#config.slowStatementMillis;
    if (limit === 0) return;
    const ms = performance.now() - since;
    if (ms < limit) return;
    this.#throttle.tell(`slow ${verb}`, (leftOut) => {
      const waited = Math.round(began - since);
      const wait = waited > 0 ? `, ${waited} ms of it waiting for a connection` : "";
      log().warn(
        `${this.#prefix}: slow: ${what} took ${Math.round(ms)} ms${wait} (slowStatementMillis is ${limit})${alsoLeftOut(leftOut)}; docs/guides/operations.md, "What the log says"`,
      );
    });
  }

  /** Runs a statement that has its connection. `since`: see {@link ended}. */
  async watch<T>(verb: string, since: number, work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.ended(verb, since, began);
    }
  }

  lost(error: Error | undefined): void {
    if (isIntended(error)) return;
    this.#throttle.tell("lost", (leftOut) => {
      this.#lost = true;
      log().warn(
        `${this.#prefix}: a connection was lost: ${sanitize(error).message}; what ran on it is tried again where that is safe${alsoLeftOut(leftOut)}`,
      );
    });
  }

  /** A new connection has got its first answer. */
  opened(): void {
    if (!this.#lost) return;
    this.#lost = false;
    log().info(`${this.#prefix}: connected to the server again`);
  }
}
