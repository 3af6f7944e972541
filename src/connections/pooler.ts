/**
 * What stands between the store and the server. A pooler answers a connect with a process id of its own. In session
 * mode it hands over a server process for good; in transaction mode another one for each transaction, so prepared
 * statements and session settings, which the store relies on with `prepare: true`, belong to whoever comes next.
 */
import { ConnectionError } from "../errors.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { sessionSettings } from "./session-settings.ts";

export type Pooling = "none" | "session";

/** Looks that find transaction mode. One will do, unless other clients take the server process in between. */
const LOOKS = 5;
const LOOK_MS = 2_000;

/** Refuses a pooler in transaction mode, and sets up a session that one in session mode has handed over. */
export async function admitPooler(
  connection: Connection,
  options: Omit<ConnectionOptions, "endpoint">,
  known: Pooling | undefined,
): Promise<Pooling> {
  const { config } = options;
  const { pooled } = await connection.establish(config.connectionTimeoutMillis);
  if (pooled !== true) return "none";
  if (known === undefined && (await sharesProcesses(connection, options))) {
    const error = new ConnectionError(
      "POOLER",
      "a pooler in transaction mode stands between the store and the server: set prepare: false (docs/pgbouncer.md)",
      false,
    );
    connection.destroy(error);
    throw error;
  }
  // Poolers drop what a client asks for at connect.
  const settings = Object.entries(sessionSettings(config, options.settings));
  const values = settings.map(
    ([name, value]) => `set_config('${name}', '${String(value).replaceAll("'", "''")}', false)`,
  );
  await connection.run({ text: `select ${values.join(", ")}` }, config.connectionTimeoutMillis);
  return "session";
}

/** Whether a second client is given the server process that the first one, still connected, has just used. */
async function sharesProcesses(
  connection: Connection,
  options: Omit<ConnectionOptions, "endpoint">,
): Promise<boolean> {
  const pidOf = async (asked: Connection) => {
    const [row] = await asked.run({ text: "select pg_backend_pid() as pid" }, LOOK_MS);
    return Number(row?.pid);
  };
  const second = new Connection({ ...options, endpoint: connection.endpoint });
  try {
    for (let look = 0; look < LOOKS; look++) {
      const pid = await pidOf(connection);
      if ((await pidOf(second)) === pid) return true;
    }
    return false;
  } catch {
    // A second client is not served while the first one is there.
    if (connection.closedWith) throw connection.closedWith;
    return false;
  } finally {
    second.destroy(new ConnectionError("LOOKED", "no longer needed", false));
  }
}
