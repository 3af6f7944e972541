/**
 * The store opens its sockets itself and hands them to the driver. So it can cut a connection at once, also a half-open
 * one. It refuses the driver a second socket for the same connection: a replacement would run the rest of a transaction
 * outside of it (porsager/postgres #1133, #1155, #1216). And an idle connection keeps no process alive.
 */
import net from "node:net";
import { ConnectionError } from "../errors.ts";
import type { Endpoint } from "../options/config.ts";
import type { Ssl } from "../options/modes.ts";
import { afterPoll } from "./timers.ts";
import { secure, tlsOptions } from "./tls.ts";

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there (ECONNREFUSED): is the server running, are host and port right?",
  ENOTFOUND: "the host name is unknown (ENOTFOUND): check host, and DNS",
  EAI_AGAIN: "the host name cannot be looked up now (EAI_AGAIN): check host, and DNS",
  EHOSTUNREACH: "the host cannot be reached (EHOSTUNREACH): check host, and the network between",
  ENETUNREACH: "the network cannot be reached (ENETUNREACH): check host, and the network between",
  ENOENT: "no such socket (ENOENT): is the server running, is host the folder of its socket?",
};

export type OpenSocket = net.Socket;

/** A peer that is gone is noticed by the operating system, as the driver asks of it too. */
const KEEP_ALIVE_MS = 60_000;

/** Connects, with TLS where it is asked for. Rejects with a ConnectionError that names host and port. */
export function openSocket(endpoint: Endpoint, timeout: number, ssl: Ssl): Promise<OpenSocket> {
  const { host, port } = endpoint;
  return new Promise((resolve, reject) => {
    const socket: OpenSocket = host.startsWith("/")
      ? net.connect(`${host}/.s.PGSQL.${port}`)
      : net.connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    const cancel = afterPoll(timeout, () =>
      fail(new ConnectionError("CONNECT_TIMEOUT", `${host}:${port} did not answer in ${timeout} ms`, false)),
    );
    const fail = (error: Error & { code?: string }) => {
      cancel();
      socket.destroy();
      reject(
        error instanceof ConnectionError
          ? error
          : new ConnectionError(
              error.code ?? "CONNECT",
              `cannot connect to ${host}:${port}: ${REASONS[error.code ?? ""] ?? error.message}`,
              false,
            ),
      );
    };
    socket.once("error", fail);
    socket.once("connect", async () => {
      try {
        const tls = tlsOptions(ssl);
        const open: OpenSocket = tls ? await secure(socket, endpoint, tls) : socket;
        cancel();
        socket.removeListener("error", fail);
        resolve(open);
      } catch (error) {
        fail(error instanceof Error ? error : new Error("TLS failed"));
      }
    });
  });
}
