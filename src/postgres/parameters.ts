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

/** An array literal of any values; arrays among them are further dimensions. null and undefined are NULL. */
export function nestedArray(values: readonly unknown[], textOf: (value: unknown) => string): string {
  const texts = values.map((value) => {
    if (Array.isArray(value)) return nestedArray(value, textOf);
    return value === null || value === undefined ? "NULL" : quoted(textOf(value));
  });
  return `{${texts.join(",")}}`;
}

/** The elements of a result such as `{1,2,3}`. */
const elements = (text: unknown): string[] =>
  typeof text !== "string" || text.length <= 2 ? [] : text.slice(1, -1).split(",");

/** The numbers of a result such as `{1,2,3}`. */
export const parseNumbers = (text: unknown): number[] => elements(text).map(Number);

/** The booleans of a result such as `{t,f}`. */
export const parseBooleans = (text: unknown): boolean[] => elements(text).map((value) => value === "t");

/**
 * The elements of an array literal, in arrays if it has several dimensions. `read` gets the text of each element that
 * is not NULL.
 */
export function parseArray(text: string, read: (element: string) => unknown): unknown[] {
  // Bounds that do not begin with 1 come first: [0:1]={1,2}.
  let at = text.indexOf("{");
  const quotedElement = (): string => {
    let element = "";
    let from = ++at;
    for (; at < text.length && text[at] !== '"'; at++) {
      if (text[at] !== "\\") continue;
      element += text.slice(from, at);
      from = ++at;
    }
    return element + text.slice(from, at++);
  };
  const bareElement = (): string => {
    const from = at;
    while (at < text.length && text[at] !== "," && text[at] !== "}") at++;
    return text.slice(from, at);
  };
  const list = (): unknown[] => {
    const elements: unknown[] = [];
    at++;
    while (at < text.length && text[at] !== "}") {
      if (text[at] === "{") elements.push(list());
      else if (text[at] === '"') elements.push(read(quotedElement()));
      else {
        const element = bareElement();
        elements.push(element === "NULL" ? null : read(element));
      }
      if (text[at] === ",") at++;
    }
    at++;
    return elements;
  };
  return list();
}

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
