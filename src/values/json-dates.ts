/**
 * Dates in JSON. jsonb has no type for them, so a commit stores the paths of Date values in column `dates`, and a read
 * sets the Dates again. A row without paths was written by another adapter. With `dates: "revive"` its ISO strings are
 * read as Dates, as act-pg does.
 */
import { types } from "node:util";

/** The path of a value: keys and indexes. */
export type Path = readonly (string | number)[];
/** Column `dates`: `{}` if there are no Dates. If pii is encrypted, `pii` is a string: the encrypted paths. */
export type DatePaths = {
  readonly data?: readonly Path[];
  readonly meta?: readonly Path[];
  readonly pii?: readonly Path[] | string;
};

/** True for every object, also for an array. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const hasToJSON = (value: object): value is { toJSON(key: string): unknown } =>
  "toJSON" in value && typeof value.toJSON === "function";

/** Adds the paths of the Dates in `value`. */
function collect(value: object, path: (string | number)[], found: Path[]): void {
  // Unlike instanceof, it knows Dates of other realms, which JSON.stringify writes the same way.
  if (types.isDate(value)) {
    found.push([...path]);
    return;
  }
  collectMembers(hasToJSON(value) ? value.toJSON(String(path.at(-1) ?? "")) : value, path, found);
}

/** Like {@link collect}, for the result of toJSON, on which JSON.stringify does not call toJSON again. */
function collectMembers(value: unknown, path: (string | number)[], found: Path[]): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (typeof item !== "object" || item === null) continue;
      path.push(i);
      collect(item, path, found);
      path.pop();
    }
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== "object" || item === null) continue;
    path.push(key);
    collect(item, path, found);
    path.pop();
  }
}

/** The paths of the Dates in `value`; undefined if there are none. */
export function datePaths(value: unknown): readonly Path[] | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const found: Path[] = [];
  collect(value, [], found);
  return found.length > 0 ? found : undefined;
}

const toDate = (value: unknown): Date => new Date(typeof value === "string" ? value : Number.NaN);

/** Sets the Dates at `paths`. Changes `value` itself, which has just been parsed. */
export function setDates(value: unknown, paths: readonly Path[] | undefined): unknown {
  if (!paths) return value;
  let root = value;
  for (const path of paths) {
    const last = path.at(-1);
    if (last === undefined) {
      root = toDate(root);
      continue;
    }
    let holder: unknown = root;
    for (const key of path.slice(0, -1)) holder = isRecord(holder) ? own(holder, key) : undefined;
    if (isRecord(holder) && Object.hasOwn(holder, last))
      Object.defineProperty(holder, last, {
        value: toDate(holder[last]),
        writable: true,
        enumerable: true,
        configurable: true,
      });
  }
  return root;
}

/** Reads an own property only: a key such as "__proto__" must not lead out of the document. */
function own(holder: Record<string, unknown>, key: string | number): unknown {
  return Object.getOwnPropertyDescriptor(holder, key)?.value;
}

const ISO =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-][0-2]\d:[0-5]\d)?$/;

/** Makes every ISO 8601 string a Date. Changes `value` itself. */
export function reviveDates(value: unknown): unknown {
  if (typeof value === "string") return ISO.test(value) ? new Date(value) : value;
  if (Array.isArray(value)) for (let i = 0; i < value.length; i++) value[i] = reviveDates(value[i]);
  else if (isRecord(value))
    for (const key of Object.keys(value)) {
      const item = own(value, key);
      const revived = reviveDates(item);
      if (revived !== item)
        Object.defineProperty(value, key, {
          value: revived,
          writable: true,
          enumerable: true,
          configurable: true,
        });
    }
  return value;
}

/**
 * Matches U+0000 or a lone surrogate in JSON text, where JSON.stringify has written it as a \u escape. The u of an escape
 * follows an odd number of backslashes: after an even number it is a plain letter.
 */
const REFUSED = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** Why PostgreSQL would refuse this JSON text, or undefined. */
export function refusedJson(text: string): string | undefined {
  return text.includes("\\u") && REFUSED.test(text)
    ? "contains U+0000 or a lone surrogate, which PostgreSQL cannot store"
    : undefined;
}

/** Why PostgreSQL would refuse this text, or undefined. */
export function refusedText(text: string): string | undefined {
  return text.includes("\0") || !text.isWellFormed()
    ? "contains U+0000 or a lone surrogate, which PostgreSQL cannot store"
    : undefined;
}
