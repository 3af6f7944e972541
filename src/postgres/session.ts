/**
 * An interactive transaction, for migrations, restore, import and move: the client sends one statement, reads its
 * result, and sends the next. The server ends it after a minute without a statement, so that a client that vanished
 * releases its locks. While a client is busy between statements, it sends `select 1` every 10 s.
 */
import { ConnectionError, guard, outcomeUnknown, storeClosed, toStoreError } from "../errors.ts";
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
  /** Runs each statement, and logs it if it is slow. */
  readonly watch?: <R>(step: () => Promise<R>) => Promise<R>;
  /** Finds out whether the transaction was committed. Called if the answer to COMMIT was lost. */
  readonly wasCommitted?: (backend: Backend | undefined) => Promise<boolean>;
  /** Aborts when dispose() ends sessions whose work sends nothing: `work` may wait for the caller's code, which may never end. */
  readonly end?: AbortSignal;
};

const IDLE_LIMIT = "set_config('idle_in_transaction_session_timeout', '60000', true)";
const HEARTBEAT_MS = 10_000;
/** Without a deadline: how long `work` may send nothing after dispose() has stopped waiting. */
const SILENCE_MS = 60_000;

/**
 * Settles as `work` does. Once `end` has aborted, it rejects when `work` has sent nothing for `limit` ms: a restore that goes
 * on is carried out, however long it takes. `lastActive` returns when `work` last got an answer, or the present instant while it
 * waits for one.
 */
async function unlessStuck<T>(
  work: Promise<T>,
  end: AbortSignal,
  limit: number,
  lastActive: () => number,
  closed: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stuck = Promise.withResolvers<never>();
  const check = () => {
    const left = lastActive() + limit - performance.now();
    if (left <= 0) stuck.reject(closed());
    else timer = setTimeout(check, left);
  };
  if (end.aborted) check();
  else end.addEventListener("abort", check);
  try {
    return await Promise.race([work, stuck.promise]);
  } finally {
    end.removeEventListener("abort", check);
    clearTimeout(timer);
  }
}

/** Runs `work` in a transaction. If it fails, the connection is closed, so that the server rolls back and frees all locks. */
export async function runSession<T>(connection: Connection, options: SessionOptions<T>): Promise<T> {
  const { operation, work, deadline, wasCommitted, end, watch = (step) => step() } = options;
  let last: Promise<unknown> = Promise.resolve();
  /** Statements without an answer yet, heartbeats included. */
  let unanswered = 0;
  let unansweredOfWork = 0;
  /** When `work` last got an answer. */
  let lastAnswered = performance.now();
  // Statements run one after the other, even if the caller does not await them.
  const run: Run = (query) => {
    unanswered++;
    const answer = last.then(() => watch(() => connection.step(query, deadline)));
    last = answer.then(
      () => unanswered--,
      () => unanswered--,
    );
    return guard(operation, () => answer);
  };
  const heartbeat = setInterval(() => {
    // Its error is ignored: the next statement of `work` fails with the same one.
    if (unanswered === 0) run({ text: "select 1" }).catch(() => {});
  }, HEARTBEAT_MS);
  try {
    await run(BEGIN);
    await run({ text: `${VALUES_AS_WRITTEN.text}, ${IDLE_LIMIT}` });
    const working = work(async (query) => {
      unansweredOfWork++;
      try {
        return await run(query);
      } finally {
        unansweredOfWork--;
        lastAnswered = performance.now();
      }
    });
    const lastActive = () => (unansweredOfWork > 0 ? performance.now() : lastAnswered);
    const closed = () => toStoreError(operation, storeClosed());
    const result = await (end
      ? unlessStuck(working, end, deadline || SILENCE_MS, lastActive, closed)
      : working);
    clearInterval(heartbeat);
    await run({ text: "commit" }).catch(async (error: unknown) => {
      // If the server answered with an error, it rolled back. If the connection was lost, the outcome is unknown, and with
      // Citus also after an error: another node may have committed.
      if (!connection.closedWith && !(connection.citus && wasCommitted)) throw error;
      connection.destroy(new ConnectionError("SESSION_FAILED", "the session was given up", true));
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
