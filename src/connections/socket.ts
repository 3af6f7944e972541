/**
 * The store opens its sockets itself and hands them to the driver. So it can cut a connection at once
 * (half-open ones too), refuse the driver a second socket for the same slot (a replacement connection
 * would run the rest of a transaction outside of it: porsager/postgres #1133, #1155, #1216), and let
 * idle connections keep no process alive.
 */
import net from "node:net";
import type { Endpoint } from "../config.ts";
import { ConnectionError } from "../errors.ts";

/** The driver reads `host` off the socket for TLS server names. */
export type OpenSocket = net.Socket & { host?: string; port?: number };

function connect({ host, port }: Endpoint, timeout: number): Promise<OpenSocket> {
  return new Promise((resolve, reject) => {
    const socket: OpenSocket = host.startsWith("/")
      ? net.connect(`${host}/.s.PGSQL.${port}`)
      : net.connect({ host, port, noDelay: true });
    const timer = setTimeout(
      () =>
        fail(
          new ConnectionError("CONNECT_TIMEOUT", `${host}:${port} did not answer in ${timeout} ms`, false),
        ),
      timeout || 2_147_483_647,
    );
    const fail = (error: Error & { code?: string }) => {
      clearTimeout(timer);
      socket.destroy();
      reject(
        error instanceof ConnectionError
          ? error
          : new ConnectionError(
              error.code ?? "CONNECT",
              `cannot connect to ${host}:${port}: ${error.code ?? "failed"}`,
              false,
            ),
      );
    };
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeListener("error", fail);
      socket.host = host;
      socket.port = port;
      resolve(socket);
    });
  });
}

/** Connects to the first endpoint that answers, beginning with the `turn`-th. Rejects with the last failure. */
export async function openSocket(
  endpoints: readonly Endpoint[],
  turn: number,
  timeout: number,
): Promise<OpenSocket> {
  let failure: unknown;
  for (let i = 0; i < endpoints.length; i++) {
    const endpoint = endpoints[(turn + i) % endpoints.length];
    if (!endpoint) continue;
    try {
      return await connect(endpoint, timeout);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
