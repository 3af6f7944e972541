/**
 * `source_matches` of query_streams(): the subscriptions whose source, as a pattern, matches one of the given names.
 *
 * A stored source may be any regular expression, and JavaScript may take minutes to match one, during which the
 * process does nothing else. So none is run here: literal text is searched for, and the rest is matched by the server,
 * whose engine takes time in proportion to the text and ends at statement_timeout. Each source is decided once a call.
 */
import { StoreError } from "@rotorsoft/act";
import { DatabaseError } from "../errors.ts";
import type { Database, Query } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import { type Pattern, toPattern } from "../values/pattern.ts";

/** Stands between names. No name and no pattern contains it. */
const BETWEEN = "\0";
/** What may make a match take long. A pattern without it that is not translated is matched here. */
const REPETITION = /[*+?{]/;
const INVALID_REGULAR_EXPRESSION = "2201B";

/** $1 patterns, $2 names */
const matchQuery = (patterns: readonly string[], names: readonly string[]): Query => ({
  text: `select p.ord::int as ord from unnest($1::text[]) with ordinality as p(pattern, ord)
where exists (select from unnest($2::text[]) as n(name) where n.name ~ p.pattern)`,
  params: [textArray(patterns), textArray(names)],
});

export class SourceMatches {
  readonly #names: readonly string[];
  readonly #distinct: ReadonlySet<string>;
  readonly #joined: string;
  readonly #decided = new Map<string, boolean>();

  constructor(names: readonly string[]) {
    this.#distinct = new Set(names);
    this.#names = [...this.#distinct];
    this.#joined = BETWEEN + this.#names.join(BETWEEN);
  }

  /** True if a source that {@link decide} was given matches. It is a hint: where it cannot be told, it is true. */
  has(source: unknown): boolean {
    return typeof source !== "string" || source === "" || this.#decided.get(source) !== false;
  }

  /** Decides on these sources. */
  async decide(connections: Database, sources: readonly unknown[]): Promise<void> {
    const regular: { readonly source: string; readonly text: string }[] = [];
    for (const source of new Set(sources)) {
      if (typeof source !== "string" || source === "" || this.#decided.has(source)) continue;
      const found = this.#find(source);
      if (typeof found === "boolean") this.#decided.set(source, found);
      else regular.push({ source, text: found.text });
    }
    if (regular.length === 0) return;
    const patterns = regular.map(({ text }) => text);
    const matching = await connections
      .read("query_streams", matchQuery(patterns, this.#names))
      .then((rows) => new Set(rows.map((row) => row.ord)))
      .catch(unlessInvalid);
    regular.forEach(({ source }, i) => {
      this.#decided.set(source, matching === undefined || matching.has(i + 1));
    });
  }

  /** The answer, or the regular expression that has to be matched. */
  #find(source: string): boolean | { readonly text: string } {
    let pattern: Pattern;
    try {
      pattern = toPattern("source", source);
    } catch {
      // The source is no pattern, or one that PostgreSQL reads differently.
      return this.#findUntranslated(source);
    }
    switch (pattern.kind) {
      case "any":
        return true;
      case "equals":
        return this.#distinct.has(pattern.text);
      case "contains":
        return this.#joined.includes(pattern.text);
      case "prefix":
        return this.#joined.includes(BETWEEN + pattern.text);
      case "regex":
        if (pattern.prefix && !this.#joined.includes(BETWEEN + pattern.prefix)) return false;
        return { text: pattern.text };
    }
  }

  #findUntranslated(source: string): boolean {
    if (REPETITION.test(source)) return true;
    try {
      const pattern = new RegExp(source);
      return this.#names.some((name) => pattern.test(name));
    } catch {
      return true;
    }
  }
}

/** A stored source that is too complex for the server must not keep the others from being read. */
function unlessInvalid(error: unknown): undefined {
  const cause = error instanceof StoreError ? error.cause : undefined;
  if (cause instanceof DatabaseError && cause.code === INVALID_REGULAR_EXPRESSION) return undefined;
  throw error;
}
