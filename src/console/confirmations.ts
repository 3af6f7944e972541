/** Previews that wait to be confirmed. Each allows one action, the one that was shown, for a short time. */
import { randomBytes } from "node:crypto";
import { ConsoleError } from "./failures.ts";

export const EXPIRES = 120_000;
const MAX_WAITING = 100;

export class Confirmations<T> {
  readonly #waiting = new Map<string, { readonly what: T; readonly until: number }>();

  add(what: T): string {
    const now = performance.now();
    for (const [id, { until }] of this.#waiting) if (until < now) this.#waiting.delete(id);
    const [oldest] = this.#waiting.keys();
    if (oldest !== undefined && this.#waiting.size >= MAX_WAITING) this.#waiting.delete(oldest);
    const id = randomBytes(18).toString("base64url");
    this.#waiting.set(id, { what, until: now + EXPIRES });
    return id;
  }

  /** @throws ConsoleError `confirmation` if it was used, has expired or never was. */
  take(id: string): T {
    const found = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (!found || found.until < performance.now())
      throw new ConsoleError(
        "confirmation",
        "The preview was used or is too old: look at it again. Nothing was done.",
      );
    return found.what;
  }
}
