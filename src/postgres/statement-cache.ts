/**
 * The statements that a connection keeps prepared, by text. On connections that stores share, each store has texts of its
 * own, so their number is limited. The least recently used statement is closed by the protocol's Close message, which is
 * sent before the next statement and costs no round trip.
 */
import type { Prepared, Query } from "./exchange.ts";

export class StatementCache {
  readonly #limit: number;
  /** With a limit, the keys are in the order of their last use. */
  readonly #statements = new Map<string, Prepared>();
  /** Names of prepared statements that are not used again, and not closed yet. */
  #unused: string[] = [];

  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  get isLimited(): boolean {
    return this.#limit !== Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.#statements.size;
  }

  get(text: string): Prepared | undefined {
    const found = this.#statements.get(text);
    if (found && this.isLimited) {
      this.#statements.delete(text);
      this.#statements.set(text, found);
    }
    return found;
  }

  set(text: string, prepared: Prepared): void {
    this.#statements.set(text, prepared);
  }

  /** Forgets all statements, so that each is parsed again. */
  clear(): void {
    if (this.isLimited) this.#unused.push(...[...this.#statements.values()].map(({ name }) => name));
    this.#statements.clear();
  }

  /** Removes statements until `added` more stay within the limit. Returns the names of the statements to close. */
  surplus(used: readonly Query[], added: number): readonly string[] {
    const names = this.#unused;
    this.#unused = [];
    let left = this.#statements.size + added - this.#limit;
    if (left <= 0) return names;
    const kept = new Set(used.map(({ text }) => text));
    for (const [text, { name }] of this.#statements) {
      if (left <= 0) break;
      if (kept.has(text)) continue;
      this.#statements.delete(text);
      names.push(name);
      left--;
    }
    return names;
  }
}
