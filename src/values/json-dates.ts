/**
 * JSON that comes back as it went in. jsonb has no dates, so the paths of Date values are noted beside
 * the row (column `dates`) and set again when it is read. A row without the note was written by another
 * adapter; `dates: "revive"` reads its ISO strings as Dates, as act-pg does.
 */
import { types } from "node:util";

/** The way to a value: keys and indexes. */
export type Path = readonly (string | number)[];
/** Column `dates`. `{}`: there are none. A string under `pii`: encrypted like pii itself. */
export type DatePaths = {
  readonly data?: readonly Path[];
  readonly meta?: readonly Path[];
  readonly pii?: readonly Path[] | string;
};

/** Any object, arrays included. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const hasToJSON = (value: object): value is { toJSON(key: string): unknown } =>
  "toJSON" in value && typeof value.toJSON === "function";

function collect(value: object, path: (string | number)[], found: Path[]): void {
  // Of any realm, as JSON.stringify writes them.
  if (types.isDate(value)) {
    found.push([...path]);
    return;
  }
  members(hasToJSON(value) ? value.toJSON(String(path.at(-1) ?? "")) : value, path, found);
}

/** As JSON.stringify does: what toJSON hands out is not asked for its own, and a Date among it has no members. */
function members(value: unknown, path: (string | number)[], found: Path[]): void {
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

/** Where the Dates are in `value`; undefined when there are none. */
export function datePaths(value: unknown): readonly Path[] | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const found: Path[] = [];
  collect(value, [], found);
  return found.length > 0 ? found : undefined;
}

const toDate = (value: unknown): Date => new Date(typeof value === "string" ? value : Number.NaN);

/** `value` with Dates at `paths`. Changes `value`, which nobody else has seen yet. */
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

/** An own property only: a key such as "__proto__" must not lead out of the document. */
function own(holder: Record<string, unknown>, key: string | number): unknown {
  return Object.getOwnPropertyDescriptor(holder, key)?.value;
}

const ISO =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-][0-2]\d:[0-5]\d)?$/;

/** `value` with every ISO 8601 string as a Date. Changes `value`. */
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
 * JSON.stringify writes U+0000 and lone surrogates as \u escapes, and only them and control characters;
 * jsonb refuses the first two. An even number of backslashes before the escape means it is one.
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
