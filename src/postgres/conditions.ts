/** The WHERE clause of a statement whose filters are optional, and its parameters. */

import { afterPrefix, type Pattern, toPattern } from "../values/pattern.ts";
import type { Param } from "./index.ts";

/** Filters of the same kind produce the same text, so that the server can reuse a prepared statement. */
export class Conditions {
  readonly params: Param[];
  readonly #parts: string[] = [];

  constructor(params: Param[] = []) {
    this.params = params;
  }

  /** Conditions of another part of the same statement. Both share one list of parameters. */
  fork(): Conditions {
    return new Conditions(this.params);
  }

  /** Adds a parameter, and returns its `$n`. */
  param(value: Param): string {
    this.params.push(value);
    return `$${this.params.length}`;
  }

  add(condition: string): void {
    this.#parts.push(condition);
  }

  /** Adds that `column` matches `value`, as a pattern or exactly. */
  match(option: string, column: string, value: string, exact: boolean | undefined): void {
    const pattern = exact ? ({ kind: "equals", text: value } as const) : toPattern(option, value);
    const condition = this.pattern(column, pattern);
    if (condition !== undefined) this.add(condition);
  }

  /** A pattern as a condition, without adding it; undefined for the pattern that every string matches. */
  pattern(column: string, pattern: Pattern): string | undefined {
    switch (pattern.kind) {
      case "any":
        return undefined;
      case "equals":
        return `${column} = ${this.param(pattern.text)}::text`;
      case "contains":
        return `strpos(${column}, ${this.param(pattern.text)}::text) > 0`;
      case "regex": {
        const range = pattern.prefix
          ? this.pattern(column, { kind: "prefix", text: pattern.prefix })
          : undefined;
        const matches = `${column} ~ ${this.param(pattern.text)}::text`;
        return range === undefined ? matches : `${range} and ${matches}`;
      }
      case "prefix": {
        const { from, to } = this.prefixRange(pattern.text);
        return [from(column), ...to(column)].join(" and ");
      }
    }
  }

  /**
   * The strings that begin with `prefix`, as a range in byte order: a text_pattern_ops index serves it, whatever
   * the collation. `to` is empty if no string comes after those of the prefix.
   */
  prefixRange(prefix: string): { from(column: string): string; to(column: string): string[] } {
    const first = this.param(prefix);
    const end = afterPrefix(prefix);
    const last = end === undefined ? undefined : this.param(end);
    return {
      from: (column) => `${column} ~>=~ ${first}::text`,
      to: (column) => (last === undefined ? [] : [`${column} ~<~ ${last}::text`]),
    };
  }

  /** ` where …`, or nothing without conditions. */
  get where(): string {
    return this.#parts.length === 0 ? `` : ` where ${this.#parts.join(" and ")}`;
  }
}
