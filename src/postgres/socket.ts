/**
 * The store opens its sockets itself and passes them to the driver, for three reasons. It can close a connection at once,
 * even a half-open one. It can refuse the driver a second socket for the same connection, on which the driver would run
 * the rest of a transaction outside of it (porsager/postgres #1133, #1155, #1216). And it can unref an idle socket.
 */
import net from "node:net";
import { ConnectionError, connectFailed } from "../errors.ts";
import type { ConnectionTarget, Endpoint } from "../options/config.ts";
import { afterPoll } from "./timers.ts";
import { secure, tlsOptions } from "./tls.ts";

export type OpenSocket = net.Socket;

/**
 * Connects, with TLS if the options ask for it. Rejects with a ConnectionError that names host and port. `unref`: the
 * attempt does not keep the process alive.
 */
export function openSocket(
  endpoint: Endpoint,
  { config, secrets }: ConnectionTarget,
  { unref = false }: { readonly unref?: boolean } = {},
): Promise<OpenSocket> {
  const { host, port } = endpoint;
  const { connectionTimeoutMillis: timeout, keepAlive, keepAliveInitialDelayMillis } = config;
  const local = host.startsWith("/");
  return new Promise((resolve, reject) => {
    const socket: OpenSocket = local
      ? net.connect(`${host}/.s.PGSQL.${port}`)
      : net.connect({
          host,
          port,
          noDelay: true,
          // TCP keepalive: the operating system notices a peer that is gone.
          keepAlive,
          keepAliveInitialDelay: keepAliveInitialDelayMillis,
        });
    if (unref) socket.unref();
    const cancel = afterPoll(
      timeout,
      () =>
        fail(
          new ConnectionError("CONNECT_TIMEOUT", `${host}:${port} did not answer in ${timeout} ms`, false),
        ),
      undefined,
      { unref },
    );
    const fail = (error: Error & { code?: string }) => {
      cancel();
      socket.destroy();
      reject(error instanceof ConnectionError ? error : connectFailed(`${host}:${port}`, error));
    };
    socket.once("error", fail);
    socket.once("connect", async () => {
      try {
        // The server speaks no TLS on a Unix socket, and libpq does not ask it to.
        const tls = local ? undefined : tlsOptions(config.ssl, secrets.tls);
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
