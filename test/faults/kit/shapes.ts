/** What a bad network does to bytes, for the proxy. */
import type { Fate, Shape } from "../../connections/proxy.ts";

/** How often a shape has struck. */
export type Struck = { count: number };

/** Each way takes between `least` and `most` ms. */
export const latency =
  (least: number, most: number, struck: Struck): Shape =>
  async (bytes) => {
    struck.count++;
    // The fault itself.
    await new Promise((resolve) => setTimeout(resolve, least + Math.random() * (most - least)));
    return { pieces: [bytes] };
  };

/** One byte at a time, both ways. */
export const bytewise =
  (struck: Struck): Shape =>
  (bytes) => {
    struck.count += bytes.length;
    return { pieces: Array.from(bytes, (_, k) => bytes.subarray(k, k + 1)) };
  };

/** Every so often only the first part of what came goes on, and then the connection is reset. */
export const tornApart =
  (chance: number, struck: Struck): Shape =>
  (bytes) => {
    if (bytes.length < 2 || Math.random() > chance) return { pieces: [bytes] };
    struck.count++;
    return { pieces: [bytes.subarray(0, 1 + Math.floor(Math.random() * (bytes.length - 1)))], end: "reset" };
  };

/** CommandComplete of COMMIT: its letter and length stand before the tag. */
const TAG = Buffer.from("COMMIT\0");
const BEFORE_TAG = 5;

/** In each append, and nowhere else: it asks for its transaction's id. */
const APPEND = "pg_current_xact_id";

/**
 * Every so often the server's answer to an append's COMMIT does not arrive: the transaction is committed, and the
 * client can't know.
 */
export function swallowedCommit(chance: number, end: NonNullable<Fate["end"]>, struck: Struck): Shape {
  const appending = new WeakSet<object>();
  return (bytes, way, connection) => {
    if (way === "up" && bytes.includes(APPEND)) appending.add(connection);
    const at = way === "down" && appending.has(connection) ? bytes.indexOf(TAG) : -1;
    if (at < BEFORE_TAG || Math.random() > chance) return { pieces: [bytes] };
    struck.count++;
    return { pieces: [bytes.subarray(0, at - BEFORE_TAG)], end };
  };
}

/** The same with all that the append was answered: not even the transaction's id arrives. */
export function swallowedAppend(chance: number, end: NonNullable<Fate["end"]>, struck: Struck): Shape {
  const deaf = new WeakSet<object>();
  return (bytes, way, connection) => {
    if (way === "up") {
      if (bytes.includes(APPEND) && Math.random() < chance) deaf.add(connection);
      return { pieces: [bytes] };
    }
    if (!deaf.has(connection)) return { pieces: [bytes] };
    if (!bytes.includes(TAG)) return { pieces: [] };
    struck.count++;
    return { pieces: [], end };
  };
}
