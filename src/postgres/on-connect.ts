/** Runs the option `onConnect` on a new connection. */
import { ConnectionError, codeOf } from "../errors.ts";
import type { ConnectionTarget } from "../options/config.ts";
import type { Connection } from "./connection.ts";
import { afterPoll } from "./timers.ts";

/** An error of the server or the driver that the function lets pass is thrown unchanged. */
export async function runOnConnect(
  connection: Connection,
  { config, secrets }: ConnectionTarget,
): Promise<void> {
  const { onConnect } = secrets;
  if (!onConnect) return;
  const limit = config.connectionTimeoutMillis;
  let cancel = () => {};
  const late = new Promise<never>((_, reject) => {
    // The function never ends, for example, if it calls the store, because the store waits for this connection.
    cancel = afterPoll(limit, () => reject(failed(`did not end within ${limit} ms`)));
  });
  const running = new Set<Promise<unknown>>();
  let ended = false;
  // Once the function has ended, stores use the connection, so a query that the function sends later is refused.
  const query = (text: string) => {
    if (ended) return Promise.reject(failed("has ended: its query() sends nothing any more"));
    const rows = connection.run({ text }, limit);
    running.add(rows);
    const settled = () => void running.delete(rows);
    rows.then(settled, settled);
    return rows;
  };
  const work = async () => {
    await onConnect({ query });
    // Those that the function has not awaited.
    while (running.size > 0) await Promise.all(running);
  };
  try {
    await Promise.race([late, work()]);
  } catch (error) {
    if (codeOf(error) !== undefined) throw error;
    throw failed(
      `failed: ${error instanceof Error ? error.message : "it threw a value that is not an Error"}`,
    );
  } finally {
    ended = true;
    cancel();
  }
}

const failed = (text: string) =>
  new ConnectionError("ON_CONNECT", `the function of option onConnect ${text}`, false);
