/**
 * A transaction in one message: Parse, Bind and Execute for each statement, then a single Sync. After a statement that
 * failed, the server skips everything up to Sync. So no statement can run outside the transaction, and only Sync commits.
 *
 * postgres.js ends every query with a Sync of its own, and repeats some queries by itself: a statement after a failed
 * BEGIN then committed alone (docs/internals/adr/0009). So the driver only opens the connection, and during a transaction
 * this module reads and writes its socket.
 *
 * States of a {@link TransactionChannel}: idle (the driver reads the socket) → sending (a large message: parameters
 * are being sent, and at most BEGIN and the settings of its transaction have run) → running (Sync is sent) → idle; or
 * closed with the connection, from every state.
 */
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { isRaised, raisedError } from "../errors.ts";
import {
  type Answer,
  Exchange,
  type ExchangeResult,
  fitsInPacket,
  listenUntilReady,
  type Prepared,
  type Query,
  type Step,
  type TransactionOptions,
} from "./exchange.ts";
import { MessageWriter, type ServerError } from "./protocol.ts";
import { StatementCache } from "./statement-cache.ts";

/** The transaction was not acknowledged. */
export class TransactionFailure extends Error {
  override readonly cause: Error;
  /** The step that the server refused; undefined if the connection was lost instead. */
  readonly step: "parse" | "bind" | "execute" | "commit" | undefined;
  /** Index of the statement that the server refused. */
  readonly failedAt: number | undefined;
  /**
   * The transaction may be committed: the connection was lost after Sync was sent, or Citus could not commit on every node.
   */
  readonly inDoubt: boolean;

  constructor(cause: Error, { step, failedAt, inDoubt = false }: Partial<TransactionFailure> = {}) {
    super(cause.message);
    this.cause = cause;
    this.step = step;
    this.failedAt = failedAt;
    this.inDoubt = inDoubt;
  }
}

/** The error of the server or of the connection that made a transaction fail. Other errors are returned unchanged. */
export const causeOf = (error: unknown): unknown =>
  error instanceof TransactionFailure ? error.cause : error;

/** BEGIN names the isolation level, because the session or the database may have another default. */
export const BEGIN: Query = { text: "begin isolation level read committed" };
const COMMIT: Query = { text: "commit" };
const ROLLBACKS = 3;
/**
 * While a connection keeps this many statements prepared, further statements of inline handlers are sent unprepared: their
 * texts may vary, for example with the length of a list.
 */
const MAX_PREPARED_FOR_HANDLERS = 256;
/**
 * Behind a pooler no session keeps the store's settings, and a role's own settings could spoil NULLs in arrays and the
 * digits of numbers. So a transaction sets both, unless its statements ignore them. It does so before the parameters,
 * because array_nulls applies when the server reads an array parameter.
 */
export const VALUES_AS_WRITTEN: Query = {
  text: "select set_config('array_nulls', 'on', true), set_config('extra_float_digits', '1', true)",
};
/** True for the statements that run before the parameters are sent. */
const isPrologue = (query: Query) =>
  query.runFirst === true || query === BEGIN || query === VALUES_AS_WRITTEN;

const stepOf = (failed: Step | undefined): TransactionFailure["step"] =>
  failed?.kind === "describe" || failed?.kind === "close" ? "parse" : (failed?.kind ?? "commit");

/** The prepared statement no longer exists, or its result has changed. The server has rolled back: parse again, and retry. */
const isStale = (error: ServerError): boolean =>
  error.code === "26000" || (error.code === "0A000" && error.routine === "RevalidateCachedQuery");

/** A message of a transaction block: the first one begins it, the last one commits it. */
export type BlockOptions = TransactionOptions & { readonly part: "first" | "middle" | "last" };

/** The result of one message of a block. */
export type BlockResult = Pick<ExchangeResult, "answers" | "status"> & {
  /** The server's refusal. The caller then rolls the block back, unless it continues from a savepoint. */
  readonly failure: TransactionFailure | undefined;
  /** The refused statement has to be parsed again, so the whole block may be repeated. */
  readonly stale: boolean;
};

type PlanOptions = {
  /** False: bind the statements, and do not run them. */
  readonly execute?: boolean;
  /** The message commits. */
  readonly commits?: boolean;
  readonly portals?: string;
  /** The only statement, if this message parses it and a later one runs it. */
  readonly toParse?: Prepared | undefined;
  /** The only statement, if an earlier message has parsed it. */
  readonly parsedBefore?: Prepared | undefined;
  /** False: only parse. */
  readonly bind?: boolean;
};

export class TransactionChannel {
  readonly #socket: Socket;
  readonly #fatal: (error: ServerError) => void;
  readonly #prepared: StatementCache;
  /** Makes statement names unique: a pooler in session mode may reuse a session that has another client's statements. */
  readonly #prefix = `act_${randomUUID().slice(0, 8)}_`;
  #names = 0;
  /** Numbers the messages of blocks. A portal lives as long as its block, so each message names its own. */
  #messages = 0;
  /** Sync has been sent: if the connection is lost from now on, the outcome is in doubt. */
  committing = false;

  /**
   * `fatal` is called with an error after which the connection must not be used: FATAL, PANIC, or on Citus any error in
   * answer to COMMIT. `maxPrepared`: how many statements stay prepared. If it is left out, the store's own statements
   * have no limit.
   */
  constructor(socket: Socket, fatal: (error: ServerError) => void, maxPrepared?: number) {
    this.#socket = socket;
    this.#fatal = fatal;
    this.#prepared = new StatementCache(maxPrepared);
  }

  /** Runs all statements in one transaction. Never settles if the connection is lost: the caller has to watch for that. */
  async run(queries: readonly Query[], options: TransactionOptions): Promise<readonly Answer[]> {
    this.committing = false;
    // Behind a pooler an explicit BEGIN sets the isolation level, and for Citus it makes one transaction. Otherwise Sync
    // commits.
    const isBlock = !options.prepare || (options.citus === true && queries.length > 1);
    const asIs = options.prepare || queries.every(({ ignoresSettings }) => ignoresSettings);
    const prologue = !isBlock ? [] : asIs ? [BEGIN] : [BEGIN, VALUES_AS_WRITTEN];
    const all = isBlock ? [...prologue, ...queries, COMMIT] : queries;
    const offset = prologue.length;
    for (let attempt = 1; ; attempt++) {
      const exchange = this.#plan(all, options);
      const { answers, error, failed, status } = await exchange.run();
      if (status !== "I") await this.#rollback();
      if (error && attempt === 1 && isStale(error)) {
        this.#prepared.clear();
        continue;
      }
      if (error) throw this.#refusal(queries, error, failed, offset, options);
      // Nothing was committed: the session was already in a transaction block.
      if (status !== "I")
        throw new TransactionFailure(
          new Error("the session was in a transaction already: it was rolled back"),
          {
            step: "commit",
          },
        );
      const tag = answers.at(-1)?.tag;
      if (isBlock && tag !== "COMMIT")
        throw new TransactionFailure(new Error(`COMMIT was answered by ${tag}`), { step: "commit" });
      return answers.slice(offset, offset + queries.length);
    }
  }

  /**
   * Sends one message of a transaction block. If the block fails, the caller ends it by {@link rollback}. Like {@link run},
   * it never settles if the connection is lost.
   */
  async block(queries: readonly Query[], { part, ...options }: BlockOptions): Promise<BlockResult> {
    this.committing = false;
    const begin = options.prepare ? [BEGIN] : [BEGIN, VALUES_AS_WRITTEN];
    const prologue = part === "first" ? begin : [];
    const all = [...prologue, ...queries, ...(part === "last" ? [COMMIT] : [])];
    const exchange = this.#plan(all, options, { commits: part === "last", portals: `b${this.#messages++}_` });
    const { answers, error, failed, status } = await exchange.run();
    const stale = error !== undefined && isStale(error);
    if (stale) this.#prepared.clear();
    const offset = prologue.length;
    const tag = answers.at(-1)?.tag;
    const notCommitted = part === "last" && !error && (status !== "I" || tag !== "COMMIT");
    const failure = error
      ? this.#refusal(queries, error, failed, offset, options)
      : notCommitted
        ? new TransactionFailure(new Error(`COMMIT was answered by ${tag}`), { step: "commit" })
        : undefined;
    return { answers: answers.slice(offset), status, stale, failure };
  }

  /** Rolls an open transaction back. */
  async rollback(): Promise<void> {
    await this.#rollback();
  }

  /** Parses and binds statements, without running them. */
  async prepare(queries: readonly Query[]): Promise<void> {
    const { error } = await this.#plan(queries, { prepare: true }, { execute: false }).run();
    if (error) throw error;
  }

  /**
   * One statement of an open transaction block. Rejects if the block is not open afterwards, unless it was COMMIT.
   *
   * If the parameters are large, Parse is sent first, with a Sync of its own. If the client vanishes while it sends the
   * parameters, the server is idle since that Sync, and idle_in_transaction_session_timeout ends the session. After a Parse
   * without Sync no limit of the server applies, and the session would hold the append lock for as long as a proxy
   * answers TCP keepalives for the client.
   */
  async step(query: Query): Promise<Answer> {
    const unnamed: Prepared | undefined = fitsInPacket(query) ? undefined : { name: "", columns: [] };
    if (unnamed) {
      const { error } = await this.#plan(
        [query],
        { prepare: false },
        { toParse: unnamed, bind: false },
      ).run();
      if (error) throw error;
    }
    const { answers, error, status } = await this.#plan(
      [query],
      { prepare: false },
      { parsedBefore: unnamed },
    ).run();
    if (error) throw error;
    const [answer] = answers;
    const ends = answer?.tag === "COMMIT";
    if (!answer || status !== (ends ? "I" : "T"))
      throw new Error(`the transaction was no longer open after ${answer?.tag ?? "a statement"}`);
    return answer;
  }

  /** The failure of one of `queries`. `offset`: how many other statements the message has before them. */
  #refusal(
    queries: readonly Query[],
    error: ServerError,
    failed: Step | undefined,
    offset: number,
    { citus }: TransactionOptions,
  ): TransactionFailure {
    const failedAt = failed ? Math.max(-1, failed.index - offset) : queries.length;
    const step = failedAt >= queries.length ? "commit" : stepOf(failed);
    // Recovery ends this server process, so no other call may use the connection.
    const inDoubt = citus === true && step === "commit";
    if (inDoubt) this.#fatal(error);
    const raises = step === "execute" ? queries[failedAt]?.raises : undefined;
    const reason = raises?.find((each) => isRaised(each, error));
    const cause = reason ? raisedError(reason) : error;
    return new TransactionFailure(cause, { step, failedAt, inDoubt });
  }

  #plan(
    queries: readonly Query[],
    options: TransactionOptions,
    { execute = true, commits = true, portals = "", toParse, parsedBefore, bind = true }: PlanOptions = {},
  ): Exchange {
    const head: Step[] = [];
    const tail: Step[] = [];
    /** Parsed in this message already. */
    const parsed = new Map<string, Prepared>();
    queries.forEach((query, index) => {
      const { text } = query;
      // BEGIN and the settings come first, then the parameters that are bound early.
      const early = query.bindFirst === true || isPrologue(query);
      const steps = early ? head : tail;
      const few = this.#prepared.size < MAX_PREPARED_FOR_HANDLERS || query.answer === undefined;
      const keeps = options.prepare && few && !(query.once && this.#prepared.isLimited);
      const known = options.prepare ? (this.#prepared.get(text) ?? parsed.get(text)) : parsedBefore;
      const name = keeps ? `${this.#prefix}${this.#names + 1}` : "";
      const prepared = known ?? toParse ?? { name, columns: [] };
      const step = (kind: Step["kind"]) => ({ kind, index, text, prepared });
      if (!known) {
        this.#names++;
        if (keeps) parsed.set(text, prepared);
        steps.push(step("parse"), step("describe"));
      }
      if (bind) steps.push(step("bind"));
      if (bind && execute) (isPrologue(query) ? head : tail).push(step("execute"));
    });
    // The Close messages come first: after a statement's error the server would skip them.
    const closed = this.#prepared.surplus(queries, parsed.size).map((name): Step => {
      const prepared = { name, columns: [] };
      return { kind: "close", index: -1, text: "", prepared };
    });
    return new Exchange(this.#socket, queries, [...closed, ...head], tail, {
      ...options,
      described: ({ text, prepared }) => void (prepared.name !== "" && this.#prepared.set(text, prepared)),
      fatal: this.#fatal,
      portals,
      committing: () => {
        this.committing = commits;
      },
    });
  }

  /**
   * Leaves a transaction block. A cancel request for the transaction may hit its ROLLBACK instead, and the next
   * transaction would begin in a failed block. So it tries up to three times.
   */
  async #rollback(): Promise<void> {
    for (let attempt = 1; attempt <= ROLLBACKS; attempt++) {
      const writer = new MessageWriter();
      writer.query("rollback");
      if ((await listenUntilReady(this.#socket, [writer.take()], () => {})) === "I") return;
    }
  }
}
