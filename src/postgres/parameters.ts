/** PostgreSQL's array formats, as text parameters and text results. */

/** A text[] literal. */
export function textArray(values: readonly string[]): string {
  return `{${values.map((v) => `"${v.replace(/[\\"]/g, "\\$&")}"`).join(",")}}`;
}

/** An array literal of numbers, booleans or nulls. */
export function numberArray(values: readonly (number | boolean | null)[]): string {
  return `{${values.map((v) => (v === null ? "NULL" : String(v))).join(",")}}`;
}

/** A text[] literal in which null is NULL. */
export function nullableTextArray(values: readonly (string | null)[]): string {
  return `{${values.map((v) => (v === null ? "NULL" : `"${v.replace(/[\\"]/g, "\\$&")}"`)).join(",")}}`;
}

/** The numbers of a result such as `{1,2,3}`. */
export function parseNumbers(text: unknown): number[] {
  if (typeof text !== "string" || text.length <= 2) return [];
  return text.slice(1, -1).split(",").map(Number);
}

/**
 * JSON documents joined by U+001E, to be taken apart by `string_to_array($n, U+001E, '')`: JSON text
 * never contains a raw control character, so nothing is escaped, where an array literal would escape
 * every quote. The empty string stands for null.
 */
export const SEPARATOR = "\u001e";

export function joinJson(documents: readonly (string | null)[]): string {
  return documents.map((d) => d ?? "").join(SEPARATOR);
}

/** `string_to_array` over a parameter made by {@link joinJson}. */
export const splitJson = (parameter: string): string => `string_to_array(${parameter}, E'\\x1e', '')`;

/** The booleans of a result such as `{t,f}`. */
export function parseBooleans(text: unknown): boolean[] {
  if (typeof text !== "string" || text.length <= 2) return [];
  return text
    .slice(1, -1)
    .split(",")
    .map((value) => value === "t");
}
