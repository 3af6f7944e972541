/**
 * Selects one of several hosts as libpq does: the first that answers and matches target_session_attrs. With one host and
 * target_session_attrs "any" it connects without a check.
 */

import { ConnectionError } from "../errors.ts";
import type { TargetSessionAttrs } from "../options/modes.ts";
import { setUpCitus } from "./citus.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { runOnConnect } from "./on-connect.ts";
import { detectPooling, type Pooling, setUpSession } from "./pooler.ts";
import { newConnection } from "./shared-connection.ts";

/** State that the connections of a store share. */
export type HostState = {
  /** Index of the host to try first: the last that matched. So a host that is down is waited for only once. */
  first: number;
  /**
   * The mode of a pooler. The first connection behind it detects the mode, and the others wait for the result. Undefined
   * before, and after a pooled connection was lost: another pooler may be there then, or the same one in another mode.
   */
  pooling?: Promise<Pooling> | undefined;
  /** The mode is not detected before this instant of `performance.now()`, because the last attempt was slow and in vain. */
  nextDetection?: number;
  /** Called when a new connection has got its first answer. */
  readonly onEstablished?: () => void;
  /** Called when a connection that was in use or idle has closed, with the reason. */
  readonly onLost?: (error: Error | undefined) => void;
};

type OpenOptions = Omit<ConnectionOptions, "endpoint">;

export function matchesTargetSessionAttrs(
  attrs: TargetSessionAttrs,
  standby: boolean,
  readOnly: boolean,
): boolean {
  switch (attrs) {
    case "any":
      return true;
    case "read-write":
      return !readOnly;
    case "read-only":
      return readOnly;
    case "primary":
      return !standby;
    case "standby":
    case "prefer-standby":
      return standby;
  }
}

/**
 * Opens a connection, and waits until the server answers on it. `onSelected` gets the connection once its host is
 * selected, and may destroy it: a host that needs no check is selected before its server answers, any other one after.
 * Rejects with the failure of the last host, or with NO_SERVER if hosts answer and none matches.
 */
export async function openConnection(
  options: OpenOptions,
  hosts: HostState,
  onClose: (connection: Connection) => void,
  onSelected: (connection: Connection) => void = () => {},
): Promise<Connection> {
  const connection = await selectHost(options, hosts, onClose);
  onSelected(connection);
  try {
    // The server answers before the caller's first statement is sent: a pooler may let a client wait, and that wait counts
    // as waiting for a connection.
    await connection.establish(options.config.connectionTimeoutMillis);
    if (options.config.prepare) await admit(connection, options, hosts);
    if (connection.citus) await setUpCitus(connection, options.config.connectionTimeoutMillis);
    await runOnConnect(connection, options);
  } catch (error) {
    connection.destroy(error instanceof Error ? error : new Error("not admitted"));
    throw error;
  }
  return connection;
}

/** Forgets the pooler's mode after a pooled connection was lost. `intended`: the store itself has closed the connection. */
export function forgetPooling(hosts: HostState, { facts }: Connection, intended: boolean): void {
  if (facts?.pooled === true && !intended) hosts.pooling = undefined;
}

/** After a detection in vain that took at least `fromMs`, the next one waits `factor` times as long as that one took. */
const PAUSE = { factor: 8, fromMs: 200 };

/**
 * Behind a pooler in session mode it sets up the session; it rejects behind one in transaction mode. Each connection's own
 * first answer shows whether a pooler is in between, so that a pooler that is added later is noticed.
 */
async function admit(connection: Connection, options: OpenOptions, hosts: HostState): Promise<void> {
  const { pooled } = await connection.establish(options.config.connectionTimeoutMillis);
  // While the mode is not known, the connection is used without session settings and without named statements. That works
  // in both modes.
  if (pooled !== true || performance.now() < (hosts.nextDetection ?? 0)) return;
  const start = performance.now();
  const pooling = hosts.pooling ?? detectPooling(connection, options);
  hosts.pooling ??= pooling;
  try {
    const found = await pooling;
    if (found === "session") await setUpSession(connection, options);
    if (found === "unknown") {
      if (hosts.pooling === pooling) hosts.pooling = undefined;
      const took = performance.now() - start;
      if (took >= PAUSE.fromMs) hosts.nextDetection = performance.now() + PAUSE.factor * took;
    }
  } catch (error) {
    // The failure may concern only this connection, or be temporary. The next connection detects the mode again.
    if (hosts.pooling === pooling) hosts.pooling = undefined;
    throw error;
  }
}

/**
 * A connection for LISTEN, not yet used. The driver's `listen` needs the connection's only socket, so another connection
 * selects the host.
 */
export async function openForListen(
  options: OpenOptions,
  hosts: HostState,
  onClose: (connection: Connection) => void,
): Promise<Connection> {
  const found = await selectHost(options, hosts, () => {});
  const { endpoint, established } = found;
  if (established) found.destroy(new ConnectionError("HOST_FOUND", "no longer needed", false));
  return newConnection({ ...options, endpoint, onEstablished: hosts.onEstablished }, onClose);
}

async function selectHost(
  options: OpenOptions,
  hosts: HostState,
  onClose: (connection: Connection) => void,
): Promise<Connection> {
  const { config } = options;
  const [only] = config.hosts;
  const attrs = config.target_session_attrs;
  if (only && config.hosts.length === 1 && attrs === "any")
    return newConnection({ ...options, endpoint: only, onEstablished: hosts.onEstablished }, onClose);
  const found = await search(options, hosts, onClose, attrs);
  if (typeof found !== "string") return found;
  // prefer-standby: without a standby the primary is used.
  const second = attrs === "prefer-standby" ? await search(options, hosts, onClose, "any") : found;
  if (typeof second !== "string") return second;
  throw new ConnectionError("NO_SERVER", `no host is ${attrs} (target_session_attrs): ${second}`, false);
}

/** A connection to the first host that matches, or a text that says what the hosts are instead. */
async function search(
  options: OpenOptions,
  hosts: HostState,
  onClose: (connection: Connection) => void,
  attrs: TargetSessionAttrs,
): Promise<Connection | string> {
  const { config } = options;
  const others: string[] = [];
  let failure: unknown;
  const start = hosts.first;
  for (let i = 0; i < config.hosts.length; i++) {
    const index = (start + i) % config.hosts.length;
    const endpoint = config.hosts[index];
    if (!endpoint) continue;
    const connection = newConnection(
      { ...options, endpoint, onEstablished: hosts.onEstablished },
      (closed) => closed.established && onClose(closed),
    );
    try {
      const { standby, read_only } = await connection.establish(config.connectionTimeoutMillis);
      if (matchesTargetSessionAttrs(attrs, standby === true, read_only === true)) {
        hosts.first = index;
        return connection;
      }
      const kind = standby === true ? "a standby" : read_only === true ? "a read-only primary" : "a primary";
      others.push(`${endpoint.host}:${endpoint.port} is ${kind}`);
      connection.destroy(new ConnectionError("OTHER_SERVER", "not the wanted kind of server", false));
    } catch (error) {
      failure = error;
      // The server may have refused only the query, and left the connection open.
      connection.destroy(new ConnectionError("OTHER_SERVER", "not the wanted kind of server", false));
    }
  }
  if (others.length > 0) return others.join(", ");
  throw failure;
}
