/**
 * The transaction of a batch with inline projections: BEGIN, the append lock and the INSERT in one message, then the
 * statements of the handlers, then COMMIT. A statement that a handler returns is held back, and sent in one message with
 * the next statement or with COMMIT.
 *
 * The server ends a handler's statement that takes too long, and the transaction of a client that vanished.
 */
import { codeOf, outcomeUnknown } from "../errors.ts";
import type { InlineQuery } from "../options/inline.ts";
import {
  type Answer,
  type BlockResult,
  type Connection,
  lessOf,
  msUntil,
  type Query,
  RETRIABLE,
  rollbackBlock,
  sendBlock,
  type TransactionFailure,
  toParam,
} from "../postgres/index.ts";

/** How long to wait for the server's answer after the handler's timeout. */
const GRACE_MS = 2_000;
const limitTo = (ms: number): Query => ({
  text: "select set_config('statement_timeout', $1, true)",
  params: [String(ms)],
});

/** Statements that begin or end a transaction. COMMIT would store the events too early, and ROLLBACK would discard them. */
const ENDS = /^\s*(begin|start|commit|end|rollback(?!\s+to\s)|abort|prepare\s+transaction)\b/i;

const toRow = (columns: readonly string[], row: readonly unknown[]) =>
  Object.fromEntries(columns.map((name, i) => [name, row[i]]));

/** The handler call that sends a statement. `until`: its deadline, an instant of `performance.now()`. */
export type Caller = { readonly until: number };

type Held<C> = { readonly query: InlineQuery; readonly caller: C };

export type BlockOptions = {
  readonly end: number;
  readonly transferred: (bytes: number, ms: number) => void;
  /** The longest timeout of the handlers, in ms. The first message sets it for the statements that follow. */
  readonly limit: number;
};

export class InlineBlock<C extends Caller> {
  readonly #connection: Connection;
  readonly #options: BlockOptions;
  #serverLimit: number;
  #held: Held<C>[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** The error that failed the transaction on the server; undefined while it has not failed. */
  #failed: Error | undefined;
  /**
   * A failure that is not reported as a handler's: the connection was lost, the server rolled the transaction back because
   * of other transactions, a statement has to be parsed again, or a handler has ended the transaction.
   */
  lost: Error | undefined;
  /** A statement has to be parsed again, so the whole block may be repeated. */
  stale = false;
  /** The caller of a held-back statement that failed when it was sent, and the error. */
  blamed: { readonly caller: C; readonly error: Error } | undefined;

  constructor(connection: Connection, options: BlockOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#serverLimit = options.limit;
  }

  /** The error that failed the transaction. A handler may have caught it and continued. */
  get failed(): Error | undefined {
    return this.#failed;
  }

  /** Begins the transaction. Rejects with a {@link TransactionFailure}. */
  async open(queries: readonly Query[]): Promise<readonly Answer[]> {
    const { end } = this.#options;
    const { answers, failure } = await this.#exchange(queries, msUntil(end), "first");
    if (failure) throw failure;
    return answers;
  }

  /** Sends a handler's statement, after those that were held back. Calls are carried out one after the other. */
  send(query: InlineQuery, caller: C): Promise<readonly unknown[]> {
    const rows = this.#last.then(() => this.#send(query, caller));
    this.#last = rows.catch(() => {});
    return rows;
  }

  /** Holds back a statement whose rows are not awaited. It is sent with the next statement or with COMMIT. */
  hold(query: InlineQuery, caller: C): void {
    this.#assertUsable(query);
    this.#held.push({ query, caller });
  }

  /** Resolves when no statement is running. */
  async idle(): Promise<void> {
    for (let last = this.#last; ; last = this.#last) {
      await last;
      if (last === this.#last) return;
    }
  }

  /**
   * Sends the statements that were held back, then `tail`, then COMMIT. COMMIT may wait for standbys without a limit: the
   * server stops statement_timeout before it, because a COMMIT that is cancelled would be acknowledged without the standbys.
   */
  async commit(tail: readonly Query[]): Promise<void> {
    this.#closed = true;
    const held = this.#takeHeld();
    const queries = held.map(({ query }) => toQuery(query));
    const { failure } = await this.#exchange([...queries, ...tail], msUntil(this.#options.end), "last");
    if (!failure) return;
    this.#blame(held, failure);
    throw failure;
  }

  /** Rolls the transaction back once no statement is running. Later statements are refused. */
  async rollback(): Promise<void> {
    this.#closed = true;
    await this.idle();
    await rollbackBlock(this.#connection, GRACE_MS);
  }

  async #send(query: InlineQuery, caller: C): Promise<readonly unknown[]> {
    this.#assertUsable(query);
    const left = Math.max(1, Math.ceil(caller.until - performance.now()));
    const held = this.#takeHeld();
    const limit = this.#limit(left);
    let rows: readonly unknown[] = [];
    const own = toQuery(query, (answered) => {
      rows = answered;
    });
    const before = held.map((h) => toQuery(h.query));
    const deadline = lessOf(left + GRACE_MS, msUntil(this.#options.end));
    const { failure } = await this.#exchange([...before, ...limit, own], deadline, "middle");
    if (failure) {
      this.#blame(held, failure);
      throw failure.cause;
    }
    return rows;
  }

  /** Sets the server's limit again if it differs by a tenth or more from the time that is left. */
  #limit(left: number): Query[] {
    if (left > this.#serverLimit * 0.9 && left < this.#serverLimit * 1.1) return [];
    this.#serverLimit = Math.min(left, this.#options.limit);
    return [limitTo(this.#serverLimit)];
  }

  async #exchange(
    queries: readonly Query[],
    deadline: number,
    part: "first" | "middle" | "last",
  ): Promise<BlockResult> {
    try {
      const { transferred } = this.#options;
      const result = await sendBlock(this.#connection, queries, deadline, { part, transferred });
      const { failure, status, stale } = result;
      this.stale ||= stale;
      if (failure && (stale || RETRIABLE.has(codeOf(failure.cause)))) this.lost = failure;
      // A statement of the handler has ended the transaction, so its events may be stored.
      if (part !== "last" && status === "I" && !failure) throw outcomeUnknown("ended");
      this.#failed = status === "E" ? (this.#failed ?? failure?.cause) : undefined;
      return result;
    } catch (error) {
      this.lost = error instanceof Error ? error : new Error("unknown failure");
      throw this.lost;
    }
  }

  #blame(held: readonly Held<C>[], failure: TransactionFailure): void {
    const caller = held[failure.failedAt ?? -1]?.caller;
    if (caller) this.blamed ??= { caller, error: failure.cause };
  }

  #takeHeld(): Held<C>[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }

  #assertUsable({ text }: InlineQuery): void {
    if (this.#closed)
      throw new Error(
        "act-drizzle: the transaction of the commit is over: wait for every query within the inline handler.",
      );
    if (ENDS.test(text))
      throw new Error(
        "act-drizzle: an inline handler runs in the transaction of the commit, and must not begin or end one: use tx.transaction() for a savepoint.",
      );
  }
}

const toQuery = (
  { text, params, arrays }: InlineQuery,
  answered: (rows: readonly unknown[]) => void = () => {},
): Query => ({
  text,
  params: params.map(toParam),
  answer: (columns, rows) => answered(arrays ? rows : rows.map((row) => toRow(columns, row))),
});
