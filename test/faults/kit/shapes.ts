/** What a bad network does to bytes, for the proxy. */
import type { Delivery, Shape } from "../../postgres/proxy.ts";

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

/** ReadyForQuery outside of a transaction: the server has committed, if it did not say otherwise before. */
const READY = Buffer.from([90, 0, 0, 0, 5, 73]);

/** In the statement that appends, and nowhere else. It is sent once for each connection, and prepared. */
const APPEND = "events_left_out";

/** Connections that append. */
function appenders() {
  const known = new WeakSet<object>();
  return (bytes: Buffer, way: "up" | "down", connection: object): boolean => {
    if (way === "up" && bytes.includes(APPEND)) known.add(connection);
    return known.has(connection);
  };
}

/**
 * Every so often the end of the server's answer to an append does not arrive: the transaction is committed, and the
 * client can't know.
 */
export function swallowedCommit(chance: number, end: NonNullable<Delivery["end"]>, struck: Struck): Shape {
  const isAppender = appenders();
  return (bytes, way, connection) => {
    const at = isAppender(bytes, way, connection) && way === "down" ? bytes.lastIndexOf(READY) : -1;
    if (at < 0 || Math.random() > chance) return { pieces: [bytes] };
    struck.count++;
    return { pieces: at > 0 ? [bytes.subarray(0, at)] : [], end };
  };
}

/** The same with all that the append was answered. */
export function swallowedAppend(chance: number, end: NonNullable<Delivery["end"]>, struck: Struck): Shape {
  const isAppender = appenders();
  const deaf = new WeakSet<object>();
  return (bytes, way, connection) => {
    if (way === "up") {
      if (isAppender(bytes, way, connection) && Math.random() < chance) deaf.add(connection);
      return { pieces: [bytes] };
    }
    if (!deaf.has(connection)) return { pieces: [bytes] };
    if (!bytes.includes(READY)) return { pieces: [] };
    struck.count++;
    return { pieces: [], end };
  };
}
