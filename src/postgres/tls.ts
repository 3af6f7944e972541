/** Sets up TLS as libpq's sslmode says, before the driver gets the socket. */
import net from "node:net";
import { type ConnectionOptions, connect } from "node:tls";
import { ConnectionError } from "../errors.ts";
import type { Endpoint } from "../options/config.ts";
import type { SslMode } from "../options/modes.ts";

/** The length of the message, and its code: https://www.postgresql.org/docs/current/protocol-flow.html */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const ACCEPTED = "S";

type Tls = { readonly required: boolean; readonly options: ConnectionOptions };

/** The options of node:tls for a mode, merged with the user's `own` options; undefined for no TLS. */
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

/** Asks the server for TLS. Rejects if TLS is required and the server does not offer it, or its certificate is refused. */
export async function secure(socket: net.Socket, { host, port }: Endpoint, tls: Tls): Promise<net.Socket> {
  if ((await askForTls(socket)) !== ACCEPTED) {
    if (!tls.required) return socket;
    throw new ConnectionError("NO_TLS", `${host}:${port} does not offer TLS (option ssl)`, false);
  }
  return new Promise((resolve, reject) => {
    const secured = connect({
      socket,
      // The certificate is checked against the host as it was configured. Node refuses an IP address as servername.
      host,
      ...(net.isIP(host) || host.startsWith("/") ? {} : { servername: host }),
      ...tls.options,
    });
    secured.once("error", reject);
    // Node emits only `close`, and no error, if the server closes during the handshake.
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

/** Sends SSLRequest, and returns the server's answer of one byte. More bytes could only come from an attacker in between. */
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
