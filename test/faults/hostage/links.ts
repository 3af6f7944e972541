/** Ways to the server that are slow, or end in the middle of a message, for the proxy. */
import net from "node:net";
import type { Shape, TcpProxy } from "../../postgres/proxy.ts";

/** Bytes that wait in the proxy; a client that has sent more is not read from. */
const BUFFER = 65_536;

/** What all clients send shares one line of so many bytes per second; answers come at once. */
export function uplink(bytesPerSecond: number): Shape {
  let freeAt = 0;
  let waiting = 0;
  const paused = new Set<net.Socket>();
  return async (bytes, way, connection) => {
    if (way === "down") return { pieces: [bytes] };
    freeAt = Math.max(freeAt, performance.now()) + (bytes.length / bytesPerSecond) * 1_000;
    waiting += bytes.length;
    if (waiting > BUFFER && connection instanceof net.Socket) paused.add(connection.pause());
    // The fault itself.
    await new Promise((resolve) => setTimeout(resolve, freeAt - performance.now()));
    waiting -= bytes.length;
    if (waiting <= BUFFER) {
      for (const socket of paused) socket.resume();
      paused.clear();
    }
    return { pieces: [bytes] };
  };
}

/** The messages that clients have sent: the end of each among all bytes. */
export type Recording = { readonly ends: readonly number[]; readonly bytes: number };

/** Notes what a client sends while `work` is under way. Its connection is there already, and idle. */
export async function record(proxy: TcpProxy, work: () => Promise<unknown>): Promise<Recording> {
  const sent: Buffer[] = [];
  proxy.shape = (bytes, way) => {
    if (way === "up") sent.push(bytes);
    return { pieces: [bytes] };
  };
  try {
    await work();
  } finally {
    proxy.shape = undefined;
  }
  const all = Buffer.concat(sent);
  const ends: number[] = [];
  // Each begins with a letter, and its length without it.
  for (let at = 0; at + 5 <= all.length; ) {
    at += 1 + all.readUInt32BE(at + 1);
    ends.push(at);
  }
  return { ends, bytes: all.length };
}

/**
 * Lets so many more bytes of clients through, and then nothing any more, either way; nobody is told. Resolves when
 * that has come to pass.
 */
export function vanishAfter(proxy: TcpProxy, bytes: number): Promise<void> {
  let left = bytes;
  proxy.hidesCloses = true;
  return new Promise((resolve) => {
    const vanish = () => {
      proxy.mode = "silent";
      resolve();
    };
    if (left <= 0) vanish();
    proxy.shape = (sent, way) => {
      if (left <= 0) return { pieces: [] };
      if (way === "down") return { pieces: [sent] };
      const passed = sent.subarray(0, left);
      left -= passed.length;
      if (left <= 0) vanish();
      return { pieces: [passed] };
    };
  });
}
