/**
 * Translates JavaScript regular expressions for PostgreSQL, exactly or not at all.
 *
 * `^literal$` becomes equality, `^literal` an index range, and `literal` a substring search. Other patterns of the
 * grammar below become a POSIX expression that matches the same strings. Everything else (look-around, \b,
 * back-references, named groups, inline flags, …) means something else in PostgreSQL, or is invalid there, and is refused.
 */
import { ValidationError } from "@rotorsoft/act";

export type Pattern =
  | { readonly kind: "any" }
  | { readonly kind: "equals"; readonly text: string }
  | { readonly kind: "prefix"; readonly text: string }
  | { readonly kind: "contains"; readonly text: string }
  /** `prefix`: literal text with which every match begins; undefined if there is none. */
  | { readonly kind: "regex"; readonly text: string; readonly prefix?: string };

/** `.` as JavaScript reads it: it does not match line terminators. */
const DOT = "[^\\n\\r\\u2028\\u2029]";
const CLASSES: Readonly<Record<string, string>> = { d: "0-9", w: "A-Za-z0-9_" };
const CONTROLS: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", f: "\f", v: "\v" };
/** PostgreSQL's highest repetition count. */
const MAX_REPETITIONS = 255;
/** The sum of all counts. PostgreSQL expands each repetition, and runs out of memory far beyond this. */
const MAX_REPETITIONS_IN_ALL = 10_000;

/** Characters of a regular expression. PostgreSQL's memory grows with the square of them. At 65,536 it fails internally. */
const MAX_LENGTH = 60_000;
export const TOO_COMPLEX = "PostgreSQL finds the pattern too complex: make it shorter";

/** A part of the pattern cannot be translated; the message names that part. */
class Refused extends Error {}

const escapeLiteral = (char: string) =>
  /[A-Za-z0-9_]/.test(char) || char.charCodeAt(0) > 127 ? char : `\\${char}`;

const isAstral = (char: string) => char.length > 1;

/** Reads one pattern, character by character. */
class Reader {
  #at = 0;
  #repeated = 0;
  readonly #chars: readonly string[];
  constructor(pattern: string) {
    this.#chars = [...pattern];
  }

  peek(ahead = 0): string | undefined {
    return this.#chars[this.#at + ahead];
  }

  next(): string | undefined {
    return this.#chars[this.#at++];
  }

  get done(): boolean {
    return this.#at >= this.#chars.length;
  }

  /** Reads a quantifier. The `?` of a lazy one is dropped, because it does not change which strings match. */
  quantifier(): string | undefined {
    const found = this.#repetition();
    if (!found) return undefined;
    const [low = 0, high] = (found.match(/\d+/g) ?? []).map(Number);
    // A regular expression with a maximum below the minimum is not valid, and was refused before.
    const most = high ?? low;
    if (most > MAX_REPETITIONS) throw new Refused(`a repetition count above ${MAX_REPETITIONS}`);
    this.#repeated += most;
    if (this.#repeated > MAX_REPETITIONS_IN_ALL) throw new Refused("too many counted repetitions");
    if (this.peek() === "?") this.#at++;
    if (this.#repetition()) throw new Refused("a quantifier on a quantifier");
    return found;
  }

  /** Reads `*`, `+`, `?` or `{…}`, if one of them is next. */
  #repetition(): string | undefined {
    const c = this.peek();
    if (c === "*" || c === "+" || c === "?") {
      this.#at++;
      return c;
    }
    if (c !== "{") return undefined;
    // An accepted count is shorter than 40 characters. The window avoids a search of the whole rest for each brace.
    const window = this.#chars.slice(this.#at, this.#at + 40).join("");
    if (window.length === 40 && /^\{\d+(?:,\d*)?$/.test(window))
      throw new Refused(`a repetition count above ${MAX_REPETITIONS}`);
    const found = /^\{\d+(?:,\d*)?\}/.exec(window)?.[0];
    if (found) this.#at += found.length;
    return found;
  }

  /** Reads what follows a backslash: a character, or a class such as \d. */
  escape(): { char: string } | { klass: string } {
    const c = this.next();
    if (c === undefined) throw new Refused("a backslash at the end");
    const klass = CLASSES[c];
    if (klass !== undefined) return { klass };
    const control = CONTROLS[c];
    if (control !== undefined) return { char: control };
    if (c === "x" || c === "u") {
      const length = c === "x" ? 2 : 4;
      const hex = this.#chars.slice(this.#at, this.#at + length).join("");
      if (!/^[0-9A-Fa-f]+$/.test(hex) || hex.length !== length) throw new Refused(`\\${c}`);
      this.#at += length;
      const char = String.fromCharCode(Number.parseInt(hex, 16));
      if (char === "\0" || !char.isWellFormed()) throw new Refused("U+0000 or half a surrogate pair");
      return { char };
    }
    if (/[A-Za-z0-9]/.test(c) || isAstral(c)) throw new Refused(`\\${c}`);
    return { char: c };
  }
}

function readClass(reader: Reader): string {
  const negated = reader.peek() === "^";
  if (negated) reader.next();
  let out = "";
  const member = (): { text: string; char?: string } => {
    const c = reader.next();
    if (c === undefined) throw new Refused("an unclosed [");
    if (isAstral(c)) throw new Refused("a character beyond U+FFFF in a class");
    if (c !== "\\") return { text: escapeLiteral(c), char: c };
    if (reader.peek() === "b") throw new Refused("\\b");
    const escaped = reader.escape();
    return "klass" in escaped
      ? { text: escaped.klass }
      : { text: escapeLiteral(escaped.char), char: escaped.char };
  };
  while (reader.peek() !== "]") {
    const from = member();
    if (reader.peek() === "-" && reader.peek(1) !== "]") {
      reader.next();
      const to = member();
      if (from.char === undefined || to.char === undefined || from.char > to.char)
        throw new Refused("a range that begins or ends with a class");
      out += `${from.text}-${to.text}`;
    } else out += from.text;
  }
  reader.next();
  if (out === "") throw new Refused("an empty class");
  return `[${negated ? "^" : ""}${out}]`;
}

/**
 * `literal`: its text, if it is plain text between optional anchors. `head`: the plain text with which it begins.
 * `start`: it has `^`. `end`: it has `$`.
 */
type Alternative = { text: string; literal?: string; head: string; start: boolean; end: boolean };

/** Reads one alternative, up to `|`, `)` or the end. */
function readAlternative(reader: Reader): Alternative {
  let text = "";
  let literal: string | undefined = "";
  let head = "";
  let plain = true;
  let start = false;
  let end = false;
  while (!reader.done && reader.peek() !== "|" && reader.peek() !== ")") {
    const c = reader.next() ?? "";
    if (c === "^" || c === "$") {
      if (c === "^") {
        if (text !== "" || start) literal = undefined;
        start = true;
      } else end = true;
      text += c;
      if (reader.quantifier()) throw new Refused("a quantified anchor");
      if (c === "$" && !reader.done) literal = undefined;
      plain = plain && start && text === "^";
      continue;
    }
    const atom = readAtom(reader, c);
    const times = reader.quantifier();
    if (times && atom.char && isAstral(atom.char)) throw new Refused("a quantified character beyond U+FFFF");
    text += atom.text + (times ?? "");
    if (literal !== undefined) literal = atom.char === undefined || times ? undefined : literal + atom.char;
    plain = plain && atom.char !== undefined && !times;
    if (plain) head += atom.char;
  }
  return { text, literal, head, start, end };
}

function readAtom(reader: Reader, c: string): { text: string; char?: string } {
  if (c === ".") return { text: DOT };
  if (c === "[") return { text: readClass(reader) };
  if (c === "(") {
    if (reader.peek() === "?") {
      if (reader.peek(1) !== ":") throw new Refused("(?…)");
      reader.next();
      reader.next();
    }
    const inner = readAlternatives(reader);
    if (reader.next() !== ")") throw new Refused("an unclosed (");
    return { text: `(?:${inner.map((a) => a.text).join("|")})` };
  }
  if (c === "*" || c === "+" || c === "?") throw new Refused(`a ${c} that repeats nothing`);
  if (c === "\\") {
    const escaped = reader.escape();
    return "klass" in escaped
      ? { text: `[${escaped.klass}]` }
      : { text: escapeLiteral(escaped.char), char: escaped.char };
  }
  return { text: escapeLiteral(c), char: c };
}

function readAlternatives(reader: Reader): Alternative[] {
  const all = [readAlternative(reader)];
  while (reader.peek() === "|") {
    reader.next();
    all.push(readAlternative(reader));
  }
  return all;
}

function refuse(option: string, pattern: string, reason: string): ValidationError {
  return new ValidationError(
    option,
    { pattern },
    `the pattern uses ${reason}, which PostgreSQL cannot match in the same way: use ^ $ . .* [ ] ( | ) quantifiers and literals, or ask for an exact match (${option}_exact)`,
  );
}

const cache = new Map<string, Pattern>();

/** Translates `pattern`. Throws a ValidationError if PostgreSQL cannot match it exactly. `option` is named in it. */
export function toPattern(option: string, pattern: string): Pattern {
  const known = cache.get(pattern);
  if (known) return known;
  try {
    new RegExp(pattern);
  } catch {
    throw new ValidationError(option, { pattern }, "the pattern is not a valid regular expression");
  }
  if (pattern.includes("\0") || !pattern.isWellFormed())
    throw refuse(option, "", "U+0000 or half a surrogate pair");
  let result: Pattern;
  try {
    result = read(pattern);
  } catch (error) {
    if (error instanceof Refused) throw refuse(option, pattern, error.message);
    if (error instanceof RangeError) throw refuse(option, "", "groups nested too deep");
    throw error;
  }
  if (result.kind === "regex" && pattern.length > MAX_LENGTH)
    throw new ValidationError(option, undefined, TOO_COMPLEX);
  if (cache.size >= 500) cache.clear();
  cache.set(pattern, result);
  return result;
}

function read(pattern: string): Pattern {
  const reader = new Reader(pattern);
  const alternatives = readAlternatives(reader);
  if (!reader.done) throw new Refused("an unmatched )");
  const only = alternatives.length === 1 ? alternatives[0] : undefined;
  if (only?.literal !== undefined) {
    const { literal: text, start, end } = only;
    if (start && end) return { kind: "equals", text };
    if (!end) {
      if (text === "") return { kind: "any" };
      return { kind: start ? "prefix" : "contains", text };
    }
  }
  // `^literal.*` is `^literal`, because `.*` also matches nothing.
  const prefix = /^\^(.*)\.\*\??$/s.exec(pattern)?.[1];
  // After an odd number of backslashes the dot is an escaped dot.
  if (prefix !== undefined && !/(?:^|[^\\])\\(?:\\\\)*$/.test(prefix)) {
    const head = readAlternatives(new Reader(prefix));
    const literal = head.length === 1 ? head[0] : undefined;
    if (literal?.literal !== undefined && !literal.start && !literal.end)
      return literal.literal === "" ? { kind: "any" } : { kind: "prefix", text: literal.literal };
  }
  const text = alternatives.map((a) => a.text).join("|");
  return only?.text.startsWith("^") && only.head !== ""
    ? { kind: "regex", text, prefix: only.head }
    : { kind: "regex", text };
}

/** The first string, in code-point order, after all that begin with `prefix`; undefined if there is none. */
export function afterPrefix(prefix: string): string | undefined {
  const points = [...prefix].map((c) => c.codePointAt(0) ?? 0);
  for (;;) {
    const last = points.pop();
    if (last === undefined) return undefined;
    if (last < 0x10ffff) {
      const next = last === 0xd7ff ? 0xe000 : last + 1;
      return [...points, next].map((point) => String.fromCodePoint(point)).join("");
    }
  }
}
