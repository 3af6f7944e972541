/**
 * Inline projections: handlers that run in the transaction of the commit, between its INSERT and its COMMIT. They hold
 * the append lock meanwhile, so each has a time limit.
 *
 * A handler that fails ends the transaction of the whole batch. The queue then refuses that commit, and sends the others
 * again.
 */
import { codeOf, InlineProjectionError, sanitize } from "../errors.ts";
import type { InlineEvent, InlineHandler, InlineProjections } from "../options/inline.ts";
import { type Answer, type Connection, msUntil, type Query } from "../postgres/index.ts";
import type { Append, Appended, InlineWork } from "./append.ts";
import { type Caller, InlineBlock } from "./inline-block.ts";

/** A handler has refused a commit of the batch. Nothing of the batch was stored. */
export class InlineFailure extends Error {
  readonly error: InlineProjectionError;
  /** Index of the refused commit in the batch; undefined: the handler had several, and each has to be tried alone. */
  readonly refused: number | undefined;

  constructor(error: InlineProjectionError, refused: number | undefined) {
    super(error.message);
    this.error = error;
    this.refused = refused;
  }
}

type Call = {
  readonly handler: InlineHandler;
  readonly events: InlineEvent[];
  /** Of the commit that the first event belongs to. */
  readonly enter: InlineWork["enter"];
  /** Index of the commit that all of the events belong to; undefined if there are several commits. */
  readonly commitIndex: number | undefined;
};
type Running = Call & Caller;

/** Thrown when a handler's time is up. The server may notice that first, and cancel its statement (query_canceled). */
const TIMED_OUT = Symbol("timed out");
const QUERY_CANCELED = "57014";

/** ms after the longest timeout until the server ends the transaction of a client that vanished. */
const IDLE_GRACE_MS = 1_000;

export type InlineSend = {
  readonly batch: readonly Append[];
  /**
   * The statements of the first message: append lock, INSERT, and others. They also set
   * `limit` and `idleLimit` of {@link InlineRunner} as the transaction's statement_timeout and
   * idle_in_transaction_session_timeout.
   */
  readonly queries: readonly Query[];
  /** Reads the outcome of each commit from the answers to the first message. */
  readonly read: (answers: readonly Answer[]) => Appended;
  /** Statements before COMMIT. */
  readonly tail: readonly Query[];
  readonly end: number;
  readonly transferred: (bytes: number, ms: number) => void;
};

export class InlineRunner {
  /** The longest timeout of a handler, in ms: statement_timeout for the statements after the INSERT. */
  readonly limit: number;
  /** ms without a statement after which the server ends the transaction of a client that vanished. */
  readonly idleLimit: number;
  readonly #projections: InlineProjections;
  /** The handlers' `tx`, one object for all commits: to create it takes longer than to run a statement. */
  readonly #tx: unknown;
  #block: InlineBlock<Running> | undefined;
  #running: Running | undefined;

  constructor(projections: InlineProjections) {
    this.#projections = projections;
    this.limit = Math.max(...[...projections.handlers.values()].map(({ timeout }) => timeout));
    this.idleLimit = this.limit + IDLE_GRACE_MS;
    this.#tx = projections.open(async (query) => {
      if (!this.#block || !this.#running)
        throw new Error(
          "act-drizzle: no commit is being projected: use tx within the inline handler, and wait for every query there.",
        );
      return await this.#block.send(query, this.#running);
    });
  }

  /**
   * Runs the transaction of a batch. Returns the answers to its first message. Rejects with an {@link InlineFailure}, or as
   * {@link Connection.transact} does.
   */
  async run(connection: Connection, send: InlineSend): Promise<readonly Answer[]> {
    for (let attempt = 1; ; attempt++) {
      const block = new InlineBlock<Running>(connection, { ...send, limit: this.limit });
      try {
        return await this.#run(block, send);
      } catch (error) {
        await block.rollback();
        // If a prepared statement was gone, or its result type has changed, the block runs again.
        if (!block.stale || attempt > 1) throw error;
      } finally {
        this.#block = undefined;
        this.#running = undefined;
      }
    }
  }

  async #run(
    block: InlineBlock<Running>,
    { batch, queries, read, tail, end }: InlineSend,
  ): Promise<readonly Answer[]> {
    const answers = await block.open(queries);
    this.#block = block;
    const calls = this.#callsOf(batch, read(answers));
    for (const call of calls) {
      const left = Math.min(call.handler.timeout, msUntil(end) || Number.POSITIVE_INFINITY);
      const running = { ...call, until: performance.now() + left };
      this.#running = running;
      try {
        await this.#call(block, running, left);
      } catch (error) {
        throw this.#failure(block, running, error);
      }
    }
    try {
      await block.commit(tail);
    } catch (error) {
      throw block.blamed ? this.#failure(block, block.blamed.caller, block.blamed.error) : error;
    }
    return answers;
  }

  /** First the handlers of single commits get the events of one commit at a time, then each batch handler gets all. */
  #callsOf(batch: readonly Append[], { outcomes, created }: Appended): readonly Call[] {
    const single: Call[] = [];
    const grouped = new Map<string, Call>();
    batch.forEach(({ inline }, i) => {
      const outcome = outcomes[i];
      if (!inline || !outcome?.accepted) return;
      const own = new Map<string, Call>();
      for (const event of inline.committed(outcome, outcome.created ?? created)) {
        const name = String(event.name);
        const handler = this.#projections.handlers.get(name);
        if (!handler) continue;
        const calls = handler.batch ? grouped : own;
        const call = calls.get(name);
        if (call) call.events.push(event);
        else
          calls.set(name, {
            handler,
            events: [event],
            enter: inline.enter,
            commitIndex: batch.length === 1 || !handler.batch ? i : undefined,
          });
      }
      single.push(...own.values());
    });
    return [...single, ...grouped.values()];
  }

  async #call(block: InlineBlock<Running>, call: Running, left: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(TIMED_OUT), left);
    });
    // The handler may have ended before `timedOut` is awaited, and then a rejection would be unhandled.
    timedOut.catch(() => {});
    const projecting = call.enter();
    try {
      const returned = projecting.run(() => call.handler.run(call.events, this.#tx));
      const query = this.#projections.toQuery(returned);
      if (query) block.hold(query, call);
      else await Promise.race([returned, timedOut]);
      await Promise.race([block.idle(), timedOut]);
    } finally {
      clearTimeout(timer);
      projecting.end();
    }
    // A handler that blocks the event loop also delays the timer, so its time is checked once more.
    if (performance.now() > call.until) throw TIMED_OUT;
    if (block.failed) throw block.failed;
  }

  #failure(block: InlineBlock<Running>, call: Running, thrown: unknown): Error {
    if (block.lost) return block.lost;
    const { handler, commitIndex, events } = block.blamed?.caller ?? call;
    const error = this.#projections.causeOf(block.blamed?.error ?? thrown);
    const stream = events[0]?.stream ?? "";
    const fail = (code: InlineProjectionError["code"], said: string, cause?: unknown) =>
      new InlineFailure(new InlineProjectionError(code, handler.name, stream, said, cause), commitIndex);
    const state = codeOf(error);
    if (error === TIMED_OUT || state === QUERY_CANCELED)
      return fail(
        "TIMED_OUT",
        `took longer than ${handler.timeout} ms and was cancelled, because it holds the append lock. Make it faster, do slow work in a reaction, or raise its timeout.`,
      );
    // A server's error may quote rows, so it is sanitized. An error that the handler itself throws is kept.
    const isServers = state !== undefined && error instanceof Error && "severity" in error;
    const cause = isServers ? sanitize(error) : error;
    const reason = isServers && cause instanceof Error ? `failed: ${cause.message}` : "threw: see the cause.";
    return fail("HANDLER_FAILED", reason, cause);
  }
}
