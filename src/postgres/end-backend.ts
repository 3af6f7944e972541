/**
 * Ends the server process of a lost connection, and waits until it is gone. After a half-open connection the process may
 * still wait for the append lock and commit later.
 *
 * The statement ends the process only if it still runs the lost session: PostgreSQL reuses a pid, and a pooler in session
 * mode gives the process to its next client, whose application_name lacks the lost session's mark.
 */
import { ConnectionError } from "../errors.ts";
import type { Backend, Connection } from "./connection.ts";
import { pause } from "./retry.ts";

const ATTEMPTS = 20;
const PAUSE_MS = 25;

/** Rejects if the process is still there after some seconds. `left`: returns the ms until the deadline. */
export async function endBackend(
  connection: Connection,
  { pid, started, mark }: Backend,
  left: () => number,
): Promise<void> {
  const query = {
    // $1 pid, $2 backend_start, $3 application_name or null. The start is text: the driver would cut a timestamp to
    // milliseconds, and the comparison would fail.
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
