/** Lists of values as text parameters, and as text results: PostgreSQL's array literals. */

const quoted = (text: string) => `"${text.replace(/[\\"]/g, "\\$&")}"`;

/** A text[] literal. */
export function textArray(values: readonly string[]): string {
  return `{${values.map(quoted).join(",")}}`;
}

/** An array literal of numbers or booleans; null is NULL. */
export function numberArray(values: readonly (number | boolean | null)[]): string {
  return `{${values.map((v) => (v === null ? "NULL" : String(v))).join(",")}}`;
}

/** A text[] literal in which null is NULL. */
export function nullableTextArray(values: readonly (string | null)[]): string {
  return `{${values.map((v) => (v === null ? "NULL" : quoted(v))).join(",")}}`;
}

/** The elements of a result such as `{1,2,3}`. */
const elements = (text: unknown): string[] =>
  typeof text !== "string" || text.length <= 2 ? [] : text.slice(1, -1).split(",");

/** The numbers of a result such as `{1,2,3}`. */
export const parseNumbers = (text: unknown): number[] => elements(text).map(Number);

/** The booleans of a result such as `{t,f}`. */
export const parseBooleans = (text: unknown): boolean[] => elements(text).map((value) => value === "t");

/**
 * Separates the JSON documents of one parameter. JSON text never contains a raw control character, so nothing has to
 * be escaped, whereas an array literal would escape every quote.
 */
export const SEPARATOR = "\u001e";

/** JSON documents as one parameter, for {@link splitJson}. The empty string stands for null. */
export function joinJson(documents: readonly (string | null)[]): string {
  return documents.map((d) => d ?? "").join(SEPARATOR);
}

/** SQL that turns a parameter of {@link joinJson} into a text[]. */
export const splitJson = (parameter: string): string => `string_to_array(${parameter}, E'\\x1e', '')`;
