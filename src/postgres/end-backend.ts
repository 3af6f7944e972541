/**
 * Makes sure that a server process is gone, with all that it was still to do: a half-open connection may have left it
 * waiting for the append lock. The same statement that ends it looks whether it is that of the lost session: a pid is
 * used again, and a pooler in session mode hands the process on to its next client, without the session's mark.
 */
import { ConnectionError } from "../errors.ts";
import type { Backend, Connection } from "./connection.ts";
import { pause } from "./retry.ts";

const ATTEMPTS = 20;
const PAUSE_MS = 25;

/** Rejects when the process is still there after some seconds. `left`: ms that are left. */
export async function endBackend(
  connection: Connection,
  { pid, started, mark }: Backend,
  left: () => number,
): Promise<void> {
  const query = {
    // As text: the driver would cut a timestamp to milliseconds, and the process would not be found.
    text: `select pg_terminate_backend(pid) as ended from pg_stat_activity
  where pid = $1::int and pid <> pg_backend_pid() and backend_start = $2::text::timestamptz
    and ($3::text is null or application_name = $3::text)`,
    params: [pid, started, mark ?? null],
  };
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const alive = await connection.run(query, left());
    if (alive.length === 0) return;
    await pause(PAUSE_MS * (attempt + 1));
  }
  throw new ConnectionError("BACKEND_ALIVE", "the server still works on a lost connection", true);
}
