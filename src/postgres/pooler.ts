/**
 * What stands between the store and the server. A pooler answers a connect with a process id of its own. In session
 * mode it hands over a server process for good; in transaction mode another one for each transaction, so prepared
 * statements and session settings, which the store relies on with `prepare: true`, belong to whoever comes next.
 */
import { randomUUID } from "node:crypto";
import { ConnectionError } from "../errors.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { sessionSettings } from "./session-settings.ts";

/** `unknown`: a pooler that serves no second client now, so that nobody can tell its mode. */
export type Pooling = "none" | "session" | "unknown";

/** Looks that find transaction mode. One will do, unless other clients take the server processes in between. */
const LOOKS = 10;
const LOOK_MS = 2_000;
const STEP_MS = 10;

/** How this client reaches the server. Rejects when a pooler in transaction mode is between. */
export async function detectPooling(
  connection: Connection,
  options: Omit<ConnectionOptions, "endpoint">,
): Promise<Pooling> {
  const { pooled } = await connection.establish(options.config.connectionTimeoutMillis);
  if (pooled !== true) return "none";
  const shares = await sharesProcesses(connection, options);
  if (shares === undefined) return "unknown";
  if (!shares) return "session";
  throw new ConnectionError(
    "POOLER",
    "a pooler in transaction mode stands between the store and the server",
    false,
  );
}

/** PostgreSQL keeps as many characters of an application_name, and replaces those that are not ASCII. */
const NAME_LENGTH = 63;

/** The application's name with a mark that no other session has. */
function markOf(name: string): string {
  const mark = `/${randomUUID().slice(0, 13)}`;
  return name.replaceAll(/[^ -~]/g, "?").slice(0, NAME_LENGTH - mark.length) + mark;
}

/**
 * A session that a pooler has handed over for good: poolers drop what a client asks for at connect. Once this client is
 * gone the pooler may hand the process on, with its pid and start: the mark tells whether it still runs this session.
 */
export async function setUpSession(
  connection: Connection,
  { config, settings }: Omit<ConnectionOptions, "endpoint">,
): Promise<void> {
  const { pid, started } = await connection.establish(config.connectionTimeoutMillis);
  const mark = markOf(config.application_name);
  const values = Object.entries({ ...sessionSettings(config, settings), application_name: mark }).map(
    ([name, value]) => `set_config('${name}', '${String(value).replaceAll("'", "''")}', false)`,
  );
  await connection.run({ text: `select ${values.join(", ")}` }, config.connectionTimeoutMillis);
  connection.backend = { pid: Number(pid), started: String(started), mark };
  connection.ownsSession = true;
}

/**
 * Whether server processes are shared; undefined where no second client is served. They are: a second client is given the one that the first, still connected, has used, or a
 * client is given another one than before.
 */
async function sharesProcesses(
  connection: Connection,
  options: Omit<ConnectionOptions, "endpoint">,
): Promise<boolean | undefined> {
  const pidOf = async (asked: Connection) => {
    const [row] = await asked.run({ text: "select pg_backend_pid() as pid" }, LOOK_MS);
    return Number(row?.pid);
  };
  const second = new Connection({ ...options, endpoint: connection.endpoint });
  try {
    const [own, other] = [await pidOf(connection), await pidOf(second)];
    for (let look = 0; look < LOOKS; look++) {
      // Clients that ask in step are given the same ones again and again.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * STEP_MS));
      // In session mode each has its own, and keeps it.
      if (own === other || (await pidOf(connection)) !== own || (await pidOf(second)) !== other) return true;
    }
    return false;
  } catch {
    // In session mode a second client may have to wait until the first one is gone; or the pooler is slow, or full.
    if (connection.closedWith) throw connection.closedWith;
    return undefined;
  } finally {
    second.destroy(new ConnectionError("LOOKED", "no longer needed", false));
  }
}
