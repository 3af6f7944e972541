/** Runs the option `onConnect` on a new connection. */
import { ConnectionError, reasonOf, serverCodeOf } from "../errors.ts";
import type { ConnectionTarget } from "../options/config.ts";
import type { Connection } from "./connection.ts";
import { afterPoll } from "./timers.ts";

/** SQLSTATE classes that say nothing about the function's statements: the connection, the server's state, a conflict. */
const OF_THE_SERVER = /^(08|40|53|57|58|XX)/;

/**
 * An error that the function lets pass names the function as its origin: advice on the store's own tables would mislead.
 * Only a lost connection, and what is the matter with the server, is thrown unchanged.
 */
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
  const query = (text: string, ...more: readonly unknown[]) => {
    if (more.some((value) => value !== undefined))
      return Promise.reject(
        failed("gave query() a second argument: it takes no parameters, so write the values into the text"),
      );
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
    if (error instanceof ConnectionError || OF_THE_SERVER.test(serverCodeOf(error) ?? "")) throw error;
    throw failed(`failed: ${reasonOf(error) ?? "it threw a value that is not an Error"}`);
  } finally {
    ended = true;
    cancel();
  }
}

const failed = (text: string) =>
  new ConnectionError("ON_CONNECT", `the function of option onConnect ${text}`, false);
