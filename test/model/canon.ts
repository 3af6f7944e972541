/** Values as text that is equal exactly when the values are, and says where they differ. */

/**
 * Objects without regard to the order of keys or their prototype (jsonb keeps neither), own
 * `__proto__` included; an absent property equals an undefined one; a Date is no string.
 */
export function canon(value: unknown, indent = ""): string {
  if (value instanceof Date) return `Date(${Number.isNaN(+value) ? "invalid" : value.toISOString()})`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? String(value);
  const inner = `${indent}  `;
  if (value instanceof Map) return `Map ${canon([...value], indent)}`;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[\n${value.map((item) => `${inner}${canon(item, inner)}`).join("\n")}\n${indent}]`;
  }
  const lines = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${inner}${JSON.stringify(key)}: ${canon(item, inner)}`);
  return lines.length === 0 ? "{}" : `{\n${lines.join("\n")}\n${indent}}`;
}

/** Throws when the two differ, with the first lines that do. */
export function assertSame(what: string, subject: unknown, reference: unknown): void {
  const got = canon(subject);
  const expected = canon(reference);
  if (got === expected) return;
  const gotLines = got.split("\n");
  const expectedLines = expected.split("\n");
  const at = expectedLines.findIndex((line, i) => line !== gotLines[i]);
  const from = Math.max(0, (at < 0 ? expectedLines.length : at) - 4);
  const cut = (lines: string[]) => lines.slice(from, from + 12).join("\n");
  throw new Error(
    `${what} differs at line ${from + 1}\nexpected:\n${cut(expectedLines)}\ngot:\n${cut(gotLines)}`,
  );
}
