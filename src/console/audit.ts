/** What was done through the console since it started: printed in its terminal, and kept for the page. */
import type { AuditEntry } from "./api.ts";

const KEPT = 200;

export class Audit {
  readonly #entries: AuditEntry[] = [];
  readonly #tell: (line: string) => void;
  readonly #who: string;

  constructor(who: string, tell: (line: string) => void) {
    this.#who = who;
    this.#tell = tell;
  }

  get who(): string {
    return this.#who;
  }

  /** The newest first. */
  get entries(): readonly AuditEntry[] {
    return this.#entries;
  }

  /** `what` is made of names and numbers; no event's data is in it. */
  add(entry: Pick<AuditEntry, "store" | "type" | "what" | "count" | "outcome">): AuditEntry {
    const whole = { at: new Date().toISOString(), who: this.#who, ...entry };
    this.#entries.unshift(whole);
    this.#entries.length = Math.min(this.#entries.length, KEPT);
    const { at, who, store, what, outcome } = whole;
    this.#tell(`${at} ${outcome} by ${who} on ${store}: ${what}`);
    return whole;
  }
}
