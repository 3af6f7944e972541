/**
 * A transaction with turns of the client in between: migrations, and restore. The server ends it when no statement has
 * come for a minute, so a client that vanished holds no lock for longer. A client that is only slow sends a statement
 * every few seconds.
 */
import { ConnectionError, guard, outcomeUnknown } from "../errors.ts";
import type { Backend, Connection } from "./connection.ts";
import type { Query, Row } from "./exchange.ts";
import { BEGIN, VALUES_AS_WRITTEN } from "./transaction.ts";

/** Runs one statement of a transaction. */
export type Run = (query: Query) => Promise<readonly Row[]>;

export type SessionOptions<T> = {
  readonly operation: string;
  readonly work: (run: Run) => Promise<T>;
  /** ms to wait for the answer to a statement; 0 is no limit. */
  readonly deadline: number;
  /** Looks whether the transaction was committed, after the answer to COMMIT was lost. */
  readonly wasCommitted?: (backend: Backend | undefined) => Promise<boolean>;
};

const IDLE_LIMIT = "set_config('idle_in_transaction_session_timeout', '60000', true)";
const HEARTBEAT_MS = 10_000;

/** Runs `work` in a transaction. When it fails, the connection is thrown away, so that nothing of it can linger. */
export async function runSession<T>(connection: Connection, options: SessionOptions<T>): Promise<T> {
  const { operation, work, deadline, wasCommitted } = options;
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  // One statement after the other, also for a caller that does not wait.
  const run: Run = (query) => {
    waiting++;
    const answer = last.then(() => connection.step(query, deadline));
    last = answer.then(
      () => waiting--,
      () => waiting--,
    );
    return guard(operation, () => answer);
  };
  const heartbeat = setInterval(() => {
    // Whatever it meets, the next statement of `work` meets too.
    if (waiting === 0) run({ text: "select 1" }).catch(() => {});
  }, HEARTBEAT_MS);
  try {
    await run(BEGIN);
    await run({ text: `${VALUES_AS_WRITTEN.text}, ${IDLE_LIMIT}` });
    const result = await work(run);
    clearInterval(heartbeat);
    await run({ text: "commit" }).catch(async (error: unknown) => {
      // An error of the server rolled it back; without an answer nobody knows.
      if (!connection.closedWith) throw error;
      const committed = await guard(
        operation,
        async () => wasCommitted?.(connection.backend) ?? Promise.reject(outcomeUnknown()),
      );
      if (!committed) throw error;
    });
    return result;
  } catch (error) {
    connection.destroy(new ConnectionError("SESSION_FAILED", "the session was given up", true));
    throw error;
  } finally {
    clearInterval(heartbeat);
  }
}
