/** Logs slow statements and lost connections, but never a statement's text. */
import { ConnectionError, sanitize } from "../errors.ts";
import type { Config } from "../options/config.ts";
import { log } from "../values/log.ts";
import { alsoLeftOut, Throttle } from "../values/throttle.ts";

/** Codes of the errors with which the store itself closes a connection, so that nothing was lost. */
const INTENDED = new Set<string | undefined>([
  ...["CONNECTION_ENDED", "SESSION_FAILED", "BUDGET", "SUSPECT", "YIELDED"],
  ...["SEQUENCE_CHANGED", "CLOCK_CHANGED"],
]);

/** Whether a connection that closed with this error was closed by the store itself. */
export const isIntended = (error: Error | undefined): boolean =>
  error instanceof ConnectionError && INTENDED.has(error.code);

export class DatabaseLog {
  readonly #config: Config;
  readonly #name: string;
  readonly #throttle = new Throttle();
  /** A lost connection was logged, and none has been opened since. */
  #lost = false;

  /** `name`: the owner of the connections, as a message shows it. */
  constructor(config: Config, name = `"${config.schema}"."${config.table}"`) {
    this.#config = config;
    this.#name = name;
  }

  get #prefix(): string {
    return `[act-drizzle] ${this.#name}`;
  }

  /**
   * Call it after each statement. `since`: the instant of `performance.now()` at which the statement was asked for. `began`:
   * the instant at which it got its connection. `what`: its name in the message, by default the verb.
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

  /** Runs a statement that has got its connection. `since`: see {@link ended}. */
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
        `${this.#prefix}: a connection was lost: ${sanitize(error).message}; its statements are retried where that is safe${alsoLeftOut(leftOut)}`,
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
