/** Conditions of a dynamic WHERE clause, with numbered parameters; the text is the same for the same shape. */

import { afterPrefix, toPattern } from "../values/pattern.ts";
import type { Param } from "./index.ts";

export class Conditions {
  readonly params: Param[] = [];
  readonly #parts: string[] = [];

  /** A new parameter: its `$n`. */
  param(value: Param): string {
    this.params.push(value);
    return `$${this.params.length}`;
  }

  add(condition: string): void {
    this.#parts.push(condition);
  }

  /** `column` matches `value`: by equality, or as a pattern. An `any` pattern adds nothing. */
  match(option: string, column: string, value: string, exact: boolean | undefined): void {
    const pattern = exact ? ({ kind: "equals", text: value } as const) : toPattern(option, value);
    if (pattern.kind === "any") return;
    const text = `${this.param(pattern.text)}::text`;
    if (pattern.kind === "equals") this.add(`${column} = ${text}`);
    else if (pattern.kind === "contains") this.add(`strpos(${column}, ${text}) > 0`);
    else if (pattern.kind === "regex") this.add(`${column} ~ ${text}`);
    else {
      // A range in code-unit order: served by a text_pattern_ops index, whatever the collation.
      this.add(`${column} ~>=~ ${text}`);
      const end = afterPrefix(pattern.text);
      if (end !== undefined) this.add(`${column} ~<~ ${this.param(end)}::text`);
    }
  }

  /** ` where …`, or nothing. */
  get where(): string {
    return this.#parts.length === 0 ? `` : ` where ${this.#parts.join(" and ")}`;
  }
}
