/**
 * Parameters and results of the statements that an inline handler sends through Drizzle. Drizzle's columns encode and
 * decode most of them. Others, such as the value of sql`…`, are read as Drizzle gets them from node-postgres; only
 * points and circles stay text.
 */
import { nestedArray, parseArray } from "./parameters.ts";
import { type Param, type ResultColumn, readValue } from "./protocol.ts";

const INT8 = 20;
const BYTEA = 17;
const TEXT = 25;

/**
 * Types of arrays, and the types of their elements. Arrays of other types stay text, which Drizzle's columns decode.
 */
const ELEMENTS = new Map([
  [1000, 16], // boolean
  [1001, BYTEA],
  [1005, 21], // smallint
  [1007, 23], // integer
  [1016, INT8],
  [1021, 700], // real
  [1022, 701], // double precision
  [1028, 26], // oid
  [199, 114], // json
  [3807, 3802], // jsonb
  // char, varchar, text, uuid, macaddr, inet, cidr, money, numrange, time, timetz, regproc
  ...[1014, 1015, 1009, 2951, 1040, 1041, 651, 791, 3907, 1183, 1270, 1008].map(
    (type) => [type, TEXT] as const,
  ),
]);

/** A bigint stays text, because a number would lose digits. */
function readUserValue(text: string, type: number): unknown {
  const elements = ELEMENTS.get(type);
  if (elements !== undefined) return parseArray(text, (element) => readUserValue(element, elements));
  if (type === INT8) return text;
  return type === BYTEA && text.startsWith("\\x") ? Buffer.from(text.slice(2), "hex") : readValue(text, type);
}

/** The body of DataRow. The values are in an array, because two columns may have the same name. */
export function readUserRow(body: Buffer, columns: readonly ResultColumn[]): unknown[] {
  let at = 2;
  return columns.map(({ type }) => {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    at += length;
    return readUserValue(body.toString("utf8", at - length, at), type);
  });
}

/** A parameter of a statement. Of values that no column has encoded, arrays become array literals, and objects JSON. */
export function toParam(value: unknown): Param {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (Array.isArray(value)) return nestedArray(value, (element) => String(toParam(element)));
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return typeof value === "bigint" ? String(value) : JSON.stringify(value);
}
