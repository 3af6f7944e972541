/** Transactions on a socket, with a server at its other end that runs nothing. */
import { once } from "node:events";
import net from "node:net";
import { onTestFinished, vi } from "vitest";
import type { Query, TransactionOptions } from "../../src/postgres/exchange.ts";
import type { ServerError } from "../../src/postgres/protocol.ts";
import { TransactionChannel, TransactionFailure } from "../../src/postgres/transaction.ts";
import { FakeServer, type Statement } from "./fake-server.ts";

export const prepared: TransactionOptions = { prepare: true };
export const unprepared: TransactionOptions = { prepare: false };

/** A channel on a socket that a driver listens to, and the server at its other end. */
export async function open() {
  const server = await FakeServer.start({ startup: false });
  const socket = net.connect(server.port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  const driver: string[] = [];
  const listener = (chunk: Buffer) => void driver.push(chunk.toString("latin1"));
  socket.on("data", listener);
  const fatal: ServerError[] = [];
  const channel = new TransactionChannel(socket, (error) => void fatal.push(error));
  const writes = vi.spyOn(socket, "write");
  await vi.waitFor(() => server.session);
  return {
    server,
    socket,
    channel,
    driver,
    listener,
    fatal,
    writes,
    received: () => server.session.received,
  };
}

/** What comes from the network comes in these chunks instead. */
export function rechunk(socket: net.Socket, chunksOf: (chunk: Buffer) => readonly Buffer[]): void {
  const push = socket.push.bind(socket);
  socket.push = (chunk: unknown) =>
    Buffer.isBuffer(chunk) ? chunksOf(chunk).every((one) => push(one)) : push(chunk);
}

export const lock: Query = { text: "lock" };
export const insert = (size = 1): Query => ({
  text: "insert",
  params: ["x".repeat(size), null],
  bindFirst: true,
});

export const texts = (ran: readonly Statement[]) => ran.map(({ text }) => text);

export async function failureOf(promise: Promise<unknown>): Promise<TransactionFailure> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof TransactionFailure) return error;
  throw error ?? new Error("no failure");
}
