/** TLS as libpq's sslmode asks for it, before the driver sees the socket. */
import net from "node:net";
import { type ConnectionOptions, connect } from "node:tls";
import { ConnectionError } from "../errors.ts";
import type { Endpoint } from "../options/config.ts";
import type { SslMode } from "../options/modes.ts";

/** The length of the message, and its code: https://www.postgresql.org/docs/current/protocol-flow.html */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const ACCEPTED = "S";

type Tls = { readonly required: boolean; readonly options: ConnectionOptions };

/** What the mode means in terms of node's TLS, with `own` options beside it; undefined: none. */
export function tlsOptions(ssl: boolean | SslMode, own: ConnectionOptions = {}): Tls | undefined {
  switch (ssl) {
    case false:
    case "disable":
      return undefined;
    case "allow":
    case "prefer":
      return { required: false, options: { ...own, rejectUnauthorized: false } };
    case "require":
    case "no-verify":
      return { required: true, options: { ...own, rejectUnauthorized: false } };
    case "verify-ca":
      return { required: true, options: { checkServerIdentity: () => undefined, ...own } };
    case true:
    case "verify-full":
      return { required: true, options: own };
  }
}

/** Asks the server for TLS. Rejects where it is required and not offered, or its certificate does not hold. */
export async function secure(socket: net.Socket, { host, port }: Endpoint, tls: Tls): Promise<net.Socket> {
  if ((await askForTls(socket)) !== ACCEPTED) {
    if (!tls.required) return socket;
    throw new ConnectionError("NO_TLS", `${host}:${port} does not offer TLS (option ssl)`, false);
  }
  return new Promise((resolve, reject) => {
    const secured = connect({
      socket,
      // A certificate is for the name that was asked for; Node refuses an address as a server name.
      host,
      ...(net.isIP(host) || host.startsWith("/") ? {} : { servername: host }),
      ...tls.options,
    });
    secured.once("error", reject);
    // Without a word when the server closes in the middle of the handshake.
    secured.once("close", () =>
      reject(new ConnectionError("CONNECTION_CLOSED", "closed in the TLS handshake", true)),
    );
    secured.once("secureConnect", () => {
      secured.removeAllListeners("error");
      secured.removeAllListeners("close");
      resolve(secured);
    });
  });
}

/** The server's answer is one byte. More than that could only come from somebody in between. */
function askForTls(socket: net.Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const closed = () =>
      reject(new ConnectionError("CONNECTION_CLOSED", "closed before TLS was answered", true));
    socket.once("close", closed);
    socket.once("data", (answer: Buffer) => {
      socket.removeListener("close", closed);
      if (answer.length === 1) resolve(answer.toString("latin1"));
      else
        reject(new ConnectionError("NO_TLS", "the answer to the request for TLS is not PostgreSQL's", false));
    });
    socket.write(SSL_REQUEST);
  });
}
