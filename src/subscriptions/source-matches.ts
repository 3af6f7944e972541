/**
 * `source_matches` of query_streams(): the subscriptions whose source, as a pattern, matches one of the given names.
 *
 * A stored source may be a regular expression that JavaScript takes minutes to match, in which the process does nothing
 * else. So this process searches for literal text, and the server matches regular expressions: its engine takes time in
 * proportion to the text, and statement_timeout ends it. Only a pattern that is refused for PostgreSQL is matched here,
 * if it has no quantifier. Each source is matched once per call.
 */
import { isTooComplex } from "../errors.ts";
import type { Query, StoreConnections } from "../postgres/index.ts";
import { textArray } from "../postgres/parameters.ts";
import { type Pattern, toPattern } from "../values/pattern.ts";

/** Stands between names. No name and no pattern contains it. */
const BETWEEN = "\0";
/** Pairs of a pattern and a name that one statement matches: with 30,000 names, 400 patterns took half a minute. */
const PAIRS = 2_000_000;
/** Quantifiers, which may make a match slow. */
const REPETITION = /[*+?{]/;

/** $1 patterns, $2 names */
const matchQuery = (patterns: readonly string[], names: readonly string[]): Query => ({
  text: `select p.ord::int as ord from unnest($1::text[]) with ordinality as p(pattern, ord)
where exists (select 1 from unnest($2::text[]) as n(name) where n.name ~ p.pattern)`,
  params: [textArray(patterns), textArray(names)],
});

/** A source that the server has to match, and its translation. */
type Regular = { readonly source: string; readonly text: string };

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

  /**
   * Whether a source matches, after {@link decide}. It is also true if that cannot be told: the pattern is invalid or too
   * complex, or it has a quantifier and no equal in PostgreSQL.
   */
  has(source: unknown): boolean {
    return typeof source !== "string" || source === "" || this.#decided.get(source) !== false;
  }

  /** Matches these sources against the names, and keeps the results for {@link has}. */
  async decide(connections: StoreConnections, sources: readonly unknown[]): Promise<void> {
    const regular: Regular[] = [];
    for (const source of new Set(sources)) {
      if (typeof source !== "string" || source === "" || this.#decided.has(source)) continue;
      const found = this.#find(source);
      if (typeof found === "boolean") this.#decided.set(source, found);
      else regular.push({ source, text: found.text });
    }
    const size = Math.max(1, Math.floor(PAIRS / Math.max(1, this.#names.length)));
    for (let from = 0; from < regular.length; from += size)
      await this.#ask(connections, regular.slice(from, from + size));
  }

  /** Lets the server match them. One that is too complex for it must not keep the others from being matched. */
  async #ask(connections: StoreConnections, regular: readonly Regular[]): Promise<void> {
    const patterns = regular.map(({ text }) => text);
    try {
      const rows = await connections.read("query_streams", matchQuery(patterns, this.#names));
      const matching = new Set(rows.map((row) => row.ord));
      regular.forEach(({ source }, i) => {
        this.#decided.set(source, matching.has(i + 1));
      });
    } catch (error) {
      if (!isTooComplex(error)) throw error;
      if (regular.length === 1) {
        for (const { source } of regular) this.#decided.set(source, true);
        return;
      }
      const half = regular.length >> 1;
      await this.#ask(connections, regular.slice(0, half));
      await this.#ask(connections, regular.slice(half));
    }
  }

  /** Whether the source matches, or the regular expression that the server has to match. */
  #find(source: string): boolean | { readonly text: string } {
    let pattern: Pattern;
    try {
      pattern = toPattern("source", source);
    } catch {
      // The source is not a valid pattern, or PostgreSQL cannot match it in the same way.
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
