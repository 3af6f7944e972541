/**
 * The store opens its sockets itself and hands them to the driver. So it can cut a connection at once
 * (half-open ones too), refuse the driver a second socket for the same slot (a replacement connection
 * would run the rest of a transaction outside of it: porsager/postgres #1133, #1155, #1216), and let
 * idle connections keep no process alive.
 */
import net from "node:net";
import type { Endpoint } from "../config.ts";
import { ConnectionError } from "../errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there (ECONNREFUSED): is the server running, are host and port right?",
  ENOTFOUND: "the host name is unknown (ENOTFOUND): check host, and DNS",
  EAI_AGAIN: "the host name cannot be looked up now (EAI_AGAIN): check host, and DNS",
  EHOSTUNREACH: "the host cannot be reached (EHOSTUNREACH): check host, and the network between",
  ENETUNREACH: "the network cannot be reached (ENETUNREACH): check host, and the network between",
  ENOENT: "no such socket (ENOENT): is the server running, is host the folder of its socket?",
};

/** The driver reads `host` off the socket for TLS server names. */
export type OpenSocket = net.Socket & { host?: string; port?: number };

/** Connects, or rejects with a ConnectionError that names host and port. */
export function openSocket({ host, port }: Endpoint, timeout: number): Promise<OpenSocket> {
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
              `cannot connect to ${host}:${port}: ${REASONS[error.code ?? ""] ?? error.code ?? "failed"}`,
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
