/**
 * Detects a pooler between the store and the server, and its mode. A pooler answers the login with a pid of its own. In
 * session mode a client keeps one server process. In transaction mode each transaction may run in another one, so
 * prepared statements and session settings, which the store needs with `prepare: true`, would reach other clients.
 */
import { randomUUID } from "node:crypto";
import { ConnectionError } from "../errors.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { sessionSettings } from "./session-settings.ts";

/** `unknown`: the pooler serves no second client now, and without one its mode cannot be detected. */
export type Pooling = "session" | "unknown";

/**
 * How many comparisons of pids to make. One would suffice if other clients did not use the same server processes meanwhile.
 */
const COMPARISONS = 10;
const ANSWER_MS = 2_000;
const STEP_MS = 10;
/**
 * How long the second client may take for its login, in round trips and in ms. It may wait in the pooler's queue behind
 * the store's own connections, and the caller waits with it. Without this limit, calls behind a pool of two waited 2 s
 * for each detection.
 */
const LOGIN = { roundTrips: 20, leastMs: 250 };

/** Detects the mode of the pooler that the connection runs through. Rejects if it is transaction mode. */
export async function detectPooling(
  connection: Connection,
  options: Omit<ConnectionOptions, "endpoint">,
): Promise<Pooling> {
  const shares = await sharesProcesses(connection, options);
  if (shares === undefined) return "unknown";
  if (!shares) return "session";
  throw new ConnectionError(
    "POOLER",
    "a pooler in transaction mode stands between the store and the server",
    false,
  );
}

/** PostgreSQL cuts an application_name to this length, and replaces characters that are not printable ASCII. */
const NAME_LENGTH = 63;

/** The application's name with a mark that no other session has. */
function markOf(name: string): string {
  const mark = `/${randomUUID().slice(0, 13)}`;
  return name.replaceAll(/[^ -~]/g, "?").slice(0, NAME_LENGTH - mark.length) + mark;
}

/**
 * Sets up a session behind a pooler in session mode, because poolers drop the settings that a client sends at connect.
 *
 * After this client has gone, the pooler may give the server process, with the same pid and start, to another client. So
 * the application_name gets a mark, which tells whether the process still runs this session.
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
 * True if clients share server processes: two connected clients get the same process, or one client gets another process
 * than before. Undefined if the pooler serves no second client.
 */
async function sharesProcesses(
  connection: Connection,
  options: Omit<ConnectionOptions, "endpoint">,
): Promise<boolean | undefined> {
  const pidOf = async (asked: Connection, limit = ANSWER_MS) => {
    const [row] = await asked.run({ text: "select pg_backend_pid() as pid" }, limit);
    return Number(row?.pid);
  };
  const second = new Connection({ ...options, endpoint: connection.endpoint });
  try {
    const start = performance.now();
    const own = await pidOf(connection);
    const login = LOGIN.roundTrips * (performance.now() - start);
    const other = await pidOf(second, Math.min(ANSWER_MS, Math.max(LOGIN.leastMs, login)));
    for (let compared = 0; compared < COMPARISONS; compared++) {
      // A random pause: clients that ask in step would get the same processes each time.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * STEP_MS));
      // In session mode each client has its own process, and keeps it.
      if (own === other || (await pidOf(connection)) !== own || (await pidOf(second)) !== other) return true;
    }
    return false;
  } catch {
    // In session mode a second client may have to wait until the first has gone. Or the pooler is slow, or full.
    if (connection.closedWith) throw connection.closedWith;
    return undefined;
  } finally {
    second.destroy(new ConnectionError("LOOKED", "no longer needed", false));
  }
}
