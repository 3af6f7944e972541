/**
 * Checks the options of a public function, before anything is sent. It refuses unknown names, so that a misspelt option is
 * not taken for one that was left out, and it refuses wrong values.
 */
import { refusedText } from "./json-dates.ts";
import { invalid, kind } from "./validate.ts";

export type Rule = {
  readonly test: (value: unknown) => boolean;
  /** What is allowed: ends the sentence "it must be …". */
  readonly takes: string;
  /** The option must be given. */
  readonly required?: true;
};

/** A rule for each option. The type ensures that none is forgotten. */
export type Rules<T> = { readonly [Name in keyof T]-?: Rule };

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);
const isText = (value: unknown): value is string =>
  typeof value === "string" && refusedText(value) === undefined;
const rule = (takes: string, test: (value: unknown) => boolean): Rule => ({ takes, test });

const STORABLE = "without U+0000 and lone surrogates";

/** Every value: the function itself checks it. */
export const ANY = rule("given", () => true);
export const FLAG = rule("true or false", (value) => typeof value === "boolean");
export const FUNCTION = rule("a function", (value) => typeof value === "function");
export const TEXT = rule(`a string ${STORABLE}`, isText);
/** The name of one stream or subscription. An empty name is a mistake. */
export const NAME = rule(`a string that is not empty, ${STORABLE}`, (value) => isText(value) && value !== "");
export const TEXTS = rule(
  `an array of strings ${STORABLE}`,
  (value) => Array.isArray(value) && Array.from(value).every(isText),
);
/** An id, or a bound of ids. */
export const ID = rule("a whole number", isInteger);
/** How many rows at most. */
export const LIMIT = rule("a whole number, 0 or more", (value) => isInteger(value) && value >= 0);
export const COUNT = rule("a whole number above 0", (value) => isInteger(value) && value >= 1);
export const DATE = rule("a valid Date", (value) => value instanceof Date && !Number.isNaN(value.getTime()));
export const SIGNAL = rule("an AbortSignal", (value) => value instanceof AbortSignal);

/** Six thousand years. PostgreSQL can still hold a time that long ago: its timestamps begin in 4713 BC. */
const LONGEST_MS = 6_000 * 365 * 86_400_000;

/** A length of time. `from` is the shortest. */
export const millis = (from: number): Rule =>
  rule(
    `a number of ms from ${from} to ${LONGEST_MS}`,
    (value) => typeof value === "number" && value >= from && value <= LONGEST_MS,
  );
/** How long to wait at most. */
export const TIME_LIMIT = rule(
  "a number of ms above 0, or Infinity",
  (value) => typeof value === "number" && value > 0,
);
export const whole = (from: number, to: number): Rule =>
  rule(`a whole number from ${from} to ${to}`, (value) => isInteger(value) && value >= from && value <= to);
export const oneOf = (...values: readonly string[]): Rule =>
  rule(values.map((value) => JSON.stringify(value)).join(" or "), (value) =>
    values.some((each) => each === value),
  );
export const required = (of: Rule): Rule => ({ ...of, required: true });

/** Says that a function has no option, or no filter, of this name, and which ones it has. */
export const unknownOption = (name: string, known: readonly string[], noun = "option"): string =>
  `unknown ${noun} ${JSON.stringify(name)}; the ${noun}s are ${known.join(", ")}`;

/** What is wrong with the options, or undefined. It shows no value. An option that is undefined is left out. */
export function faultOf(given: unknown, rules: Readonly<Record<string, Rule>>): string | undefined {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return `options must be an object, not ${kind(given)}`;
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const own = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!own) return unknownOption(name, Object.keys(rules));
    if (!own.test(value)) return `${name} must be ${own.takes}, not ${kind(value)}`;
  }
  for (const [name, { takes, required: needed }] of Object.entries(rules))
    if (needed && Reflect.get(given, name) === undefined) return `${name} must be ${takes}, not undefined`;
  return undefined;
}

/** For a function that is not a verb of a store. @throws TypeError */
export function checkOptionsOf<T>(name: string, given: T, rules: Rules<NonNullable<T>>): void {
  const fault = faultOf(given, rules);
  if (fault !== undefined) throw new TypeError(`act-drizzle: ${name}: ${fault}`);
}

/** @throws ValidationError */
export function checkGiven<T>(verb: string, given: T, rules: Rules<NonNullable<T>>): void {
  const fault = faultOf(given, rules);
  if (fault !== undefined) throw invalid(verb, fault);
}

/** @throws ValidationError */
export function checkArgument(verb: string, name: string, value: unknown, { test, takes }: Rule): void {
  if (!test(value)) throw invalid(verb, `${name} must be ${takes}, not ${kind(value)}`);
}
