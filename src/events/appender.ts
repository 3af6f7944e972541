/** Sends one batch of commits, and hands over the facts that a recovery needs if the connection is lost. */
import { ConnectionError, codeOf, outcomeUnknown } from "../errors.ts";
import type { InlineProjections } from "../options/inline.ts";
import {
  type Answer,
  type Connection,
  msUntil,
  type Query,
  type Row,
  type StoreConnections,
  TransactionFailure,
  useBefore,
} from "../postgres/index.ts";
import { lockAppends, lockAppendsUntil } from "../schema/append-lock.ts";
import type { Names } from "../schema/names.ts";
import { isRecord } from "../values/json-dates.ts";
import { log } from "../values/log.ts";
import {
  type Append,
  type Appended,
  type AppendMode,
  emptyInserts,
  type InsertTexts,
  insertTexts,
  RUN_DEFERRED,
} from "./append.ts";
import { citusTexts } from "./append-citus.ts";
import { emptyInsertOfOne, MAX_EVENTS, oneCommitText } from "./append-one.ts";
import { sequenceQuery } from "./ids-drawn.ts";
import { InlineRunner } from "./inline.ts";
import { LatestIds } from "./latest-ids.ts";
import { compareIds, moveSequence } from "./raise-sequence.ts";
import {
  firstEventOf,
  firstEventQuery,
  type InDoubtTransaction,
  inferOutcomes,
  type KnownCommit,
  messageToken,
  type RecoveredOutcome,
  recoveryQueries,
} from "./recover.ts";
import { type Inserts, insertOfOne, insertsOf, roundsOfInserts } from "./rounds.ts";

/** Behind a pooler: a batch that begins later than this many ms after it was sent is not carried out. */
const ARRIVAL_MS = 3_000;
/**
 * ms after which a connection compares the sequence of ids with the log again. It costs the server 40 µs. With
 * 1,000 stores on shared connections about one commit in ten does so.
 */
const COMPARE_IDS_MS = 30_000;
/** ms without notifications after the server's NOTIFY queue was full. The time doubles up to the second value. */
const FIRST_SILENCE_MS = 1_000;
const LONGEST_SILENCE_MS = 5_000;

export type AppenderOptions = {
  readonly connections: StoreConnections;
  readonly names: Names;
  /** Identifies this store in notifications. */
  readonly by: string;
  readonly announce: boolean;
  readonly inline?: InlineProjections | undefined;
};

const TRIM_NOTIFICATIONS: Query = { text: "select pg_notification_queue_usage()" };

type Transferred = (bytes: number, ms: number) => void;

/** The connection was lost after the batch had been sent: it is not known whether it was committed. */
export class InDoubtError extends Error {
  readonly transaction: InDoubtTransaction;
  constructor(transaction: InDoubtTransaction) {
    super("the connection was lost after a batch of commits had been sent");
    this.transaction = transaction;
  }
}

/** True if what follows the lock failed, mostly by the values of one commit, or a constraint. The others may succeed alone. */
export const isOwnFault = ({ step, failedAt = 0 }: TransactionFailure): boolean =>
  step === "bind" || step === "commit" || (step === "execute" && failedAt > 0);

/**
 * First column of the unique index that refused a row of the batch. The index of a partition has its own name. Citus leaves
 * the constraint's name out of the error, but the message quotes the shard's index, whose name is that of the index and the
 * shard's number.
 */
function refusingKey(error: unknown, { unique_keys }: Row, citus = false): unknown {
  if (!(error instanceof TransactionFailure) || codeOf(error.cause) !== "23505" || !isRecord(unique_keys))
    return undefined;
  const { message } = error.cause;
  const name = "constraint_name" in error.cause ? String(error.cause.constraint_name) : "";
  const refuses = (key: string) => (citus ? new RegExp(`"${key}(_\\d+)?"`).test(message) : key === name);
  return Object.entries(unique_keys).find(([key]) => refuses(key))?.[1];
}

/** The queue of NOTIFY is full (program_limit_exceeded). */
const isQueueFull = ({ cause }: TransactionFailure): boolean => codeOf(cause) === "54000";

const clockChanged = () =>
  new ConnectionError("CLOCK_CHANGED", "the server refused a batch as too late", true);

const timeIsUp = () =>
  new TransactionFailure(
    new ConnectionError("DEADLINE", "no time was left to send the commit: it was not applied", false),
  );

export class Appender {
  readonly #options: AppenderOptions;
  readonly #inline: InlineRunner | undefined;
  readonly #texts = new Map<string, InsertTexts>();
  readonly #oneCommitTexts = new Map<string, string>();
  readonly #latestIds = new LatestIds();
  /** The highest known id. Events appended from now on get higher ones. */
  #lastId = 0;
  #firstEvent: string | undefined;
  /** Connections on which the log's first event has been looked up. */
  readonly #looked = new WeakSet<Connection>();
  /** When the sequence was last compared with the log, by connection. */
  readonly #compared = new WeakMap<Connection, number>();
  /** The last commit that was stored. */
  #known: KnownCommit | undefined;
  /** Nothing is announced until `until`. `for` is the length of the pause in ms; 0 while announcing works. */
  #silence = { until: 0, for: 0 };

  constructor(options: AppenderOptions) {
    this.#options = options;
    this.#inline = options.inline && new InlineRunner(options.inline);
  }

  /**
   * Rejects with a {@link TransactionFailure} or an InlineFailure if nothing was stored; with an {@link InDoubtError} if the
   * log has to be asked; with `OUTCOME_UNKNOWN` if the batch was or may be stored, and must not be sent again; with the
   * pool's error if there is no connection. `end` is the deadline: an instant of `performance.now()`, or Infinity.
   */
  append(batch: readonly Append[], end: number, transferred: Transferred): Promise<Appended> {
    return useBefore(this.#options.connections.writer, end, async (connection) => {
      const { sharedFacts } = this.#options.connections;
      const facts = sharedFacts
        ? await sharedFacts.of(connection, msUntil(end))
        : (connection.facts ?? (await connection.establish(msUntil(end))));
      // A new connection reads the last id again: a restore or a fail-over may have set ids back.
      if (!this.#looked.has(connection)) this.#lastId = Number(facts.last_id ?? 0);
      const mode = this.#modeFor(facts, connection);
      try {
        return await this.#send(connection, batch, mode, end, transferred);
      } catch (error) {
        if (mode.sequence !== null && refusingKey(error, facts, mode.citus) === "id") {
          await this.#moveSequence(connection, mode.sequence, end).catch(() => Promise.reject(error));
          return await this.#send(connection, batch, mode, end, transferred);
        }
        const other =
          this.#otherMode(error, mode, facts) ?? (await this.#modeOfSequence(connection, error, mode, end));
        if (!other) throw error;
        const appended = await this.#send(connection, batch, other, end, transferred);
        if (other.sequence !== mode.sequence)
          this.#forgetFacts(connection, "ids are drawn from another sequence");
        return appended;
      }
    });
  }

  /** Opens the connection for appends and has their statements prepared; nothing is written. */
  warmUp(): void {
    const { connections, names } = this.#options;
    // A shared connection may serve other stores first, so it is not opened here. seed() may have changed the facts.
    if (connections.sharedFacts) {
      connections.sharedFacts.forget();
      return;
    }
    connections.writer.warmUp(async (connection) => {
      const mode = this.#modeFor(await connection.establish(connections.deadline), connection);
      const inserts = [
        emptyInsertOfOne(this.#oneCommitTextFor(mode, 1), mode.sequence),
        ...emptyInserts(this.#textsFor(mode), mode.sequence),
      ];
      const raise = mode.sequence === null ? [] : compareIds(names, mode.sequence);
      await connection.prepare(
        [lockAppends(names, connections.deadline), firstEventQuery(names), ...raise, ...inserts],
        connections.deadline,
      );
    });
  }

  #modeFor(facts: Row, { citus }: Connection): AppendMode {
    return {
      announce: this.#options.announce && performance.now() >= this.#silence.until,
      headBy: facts.ids_indexed === true ? "id" : "version",
      sequence: typeof facts.id_sequence === "number" ? facts.id_sequence : null,
      deferred: facts.deferred === true,
      triggers: facts.insert_triggers === true,
      citus,
    };
  }

  /** Asks the log about a batch in doubt, until `end`. */
  async recover(
    batch: readonly Append[],
    transaction: InDoubtTransaction,
    end: number,
  ): Promise<readonly RecoveredOutcome[]> {
    const { connections, names } = this.#options;
    const queries = recoveryQueries(names, lockAppends(names, connections.deadline), batch, transaction);
    return inferOutcomes(batch, transaction, await connections.recover(transaction.backend, queries, end));
  }

  async #send(
    connection: Connection,
    batch: readonly Append[],
    mode: AppendMode,
    end: number,
    transferred: Transferred,
  ): Promise<Appended> {
    if (performance.now() > end) throw timeIsUp();
    const { names, connections } = this.#options;
    const firstEvent = this.#firstEvent;
    const known = this.#known;
    // A recovery searches the log after this id. It searches the whole log in two cases: without a known first event,
    // because a restore in between could not be noticed; and behind a pooler, because the server may have changed.
    const after = firstEvent === undefined || connection.backend === undefined ? 0 : this.#lastId;
    let until: number | undefined;
    // Either all commits of a batch have inline projections, or none has.
    const inline = batch[0]?.inline && this.#inline;
    const lock = connection.backend
      ? lockAppends(names, connections.deadline, inline?.idleLimit)
      : lockAppendsUntil(
          names,
          connections.deadline,
          messageToken(batch),
          () => {
            until = connection.serverTime() + ARRIVAL_MS;
            return until;
          },
          inline?.idleLimit,
        );
    const look = firstEvent === undefined || !this.#looked.has(connection);
    const inserts = this.#insertsOf(batch, inline ? { ...mode, limit: inline.limit } : mode);
    // A new connection may be to a server that logical replication has filled, without the position of the sequence. On Citus
    // a fail-over of the coordinator alone may set the sequence back.
    const now = performance.now();
    const isDue = now - (this.#compared.get(connection) ?? Number.NEGATIVE_INFINITY) >= COMPARE_IDS_MS;
    const raise = isDue && mode.sequence !== null ? compareIds(names, mode.sequence) : [];
    const first = 1 + raise.length;
    const read = (answers: readonly Answer[]) =>
      inserts.read(inserts.queries.map((_, n) => answers[first + n]?.rows[0]));
    const deferred = mode.deferred ? [RUN_DEFERRED] : [];
    const looks = look ? [firstEventQuery(names)] : [];
    // The server trims a full NOTIFY queue only when a session asks for its usage.
    const trim = mode.announce && this.#silence.for > 0 ? [TRIM_NOTIFICATIONS] : [];
    try {
      const answers = inline
        ? await inline.run(connection, {
            batch,
            queries: [lock, ...raise, ...inserts.queries, ...trim, ...looks],
            read,
            tail: deferred,
            end,
            transferred,
          })
        : await connection.transact(
            [lock, ...raise, ...inserts.queries, ...deferred, ...trim, ...looks],
            msUntil(end),
            transferred,
          );
      if (mode.announce) this.#silence.for = 0;
      if (raise.length > 0) {
        this.#compared.set(connection, now);
        this.#logMoved(answers[1]);
        if (!mode.triggers && answers[2]?.rows[0]) this.#forgetFacts(connection, "the log has got a trigger");
      }
      if (look) {
        this.#looked.add(connection);
        this.#firstEvent = firstEventOf(answers.at(-1)?.rows[0]);
      }
      return this.#read(batch, () => read(answers));
    } catch (error) {
      if (!(error instanceof TransactionFailure)) throw error;
      // Citus reports a full queue of notifications only after the other node has committed.
      if (error.inDoubt && isQueueFull(error)) this.#pauseAnnouncements();
      if (error.inDoubt)
        throw new InDoubtError({ backend: connection.backend, after, firstEvent, known, until });
      // The next connection reads the server's clock again.
      if (codeOf(error.cause) === "TOO_LATE") connection.destroy(clockChanged());
      throw error;
    }
  }

  /**
   * After an error that says a trigger sets ids: perhaps none does, and the log has got another sequence than the known one. Then
   * this returns the mode with the new sequence.
   */
  async #modeOfSequence(
    connection: Connection,
    error: unknown,
    mode: AppendMode,
    end: number,
  ): Promise<AppendMode | undefined> {
    if (!(error instanceof TransactionFailure) || codeOf(error.cause) !== "IDS_SET_BY_TRIGGER")
      return undefined;
    const [found] = await connection.transact([sequenceQuery(this.#options.names)], msUntil(end));
    const sequence = Number(found?.rows[0]?.sequence);
    return sequence === mode.sequence ? undefined : { ...mode, sequence: sequence || null };
  }

  /** The connection is closed, and the next one reads the facts. Shared connections stay open: each reads them again. */
  #forgetFacts(connection: Connection, because: string): void {
    const { sharedFacts } = this.#options.connections;
    if (sharedFacts) sharedFacts.forget();
    else connection.destroy(new ConnectionError("SEQUENCE_CHANGED", because, false));
  }

  async #moveSequence(connection: Connection, sequence: number, end: number): Promise<void> {
    const { connections, names } = this.#options;
    const lock = lockAppends(names, connections.deadline);
    const [, moved] = await connection.transact([lock, moveSequence(names, sequence)], msUntil(end));
    this.#logMoved(moved);
  }

  #logMoved(moved: Answer | undefined): void {
    const id = moved?.rows[0]?.id;
    if (id === undefined) return;
    const { schema, table } = this.#options.names;
    log().warn(
      `[act-drizzle] "${schema}"."${table}": the sequence of ids was behind the log, as after an insert of rows with explicit ids, or was restarted: new ids follow ${id}`,
    );
  }

  #insertsOf(batch: readonly Append[], mode: AppendMode): Inserts {
    const { names, by } = this.#options;
    if (mode.citus) return roundsOfInserts(citusTexts(names, mode, by), batch, this.#latestIds);
    const [commit] = batch;
    if (commit && batch.length === 1 && commit.events.length <= MAX_EVENTS)
      return insertOfOne(
        this.#oneCommitTextFor(mode, commit.events.length),
        commit,
        mode.sequence,
        this.#latestIds,
      );
    return insertsOf(this.#textsFor(mode), batch, mode.sequence, this.#latestIds);
  }

  #textsFor(mode: AppendMode): InsertTexts {
    const key = `${mode.announce} ${mode.headBy} ${mode.limit} ${mode.triggers}`;
    const texts = this.#texts.get(key) ?? insertTexts(this.#options.names, mode, this.#options.by);
    this.#texts.set(key, texts);
    return texts;
  }

  #oneCommitTextFor(mode: AppendMode, size: number): string {
    const key = `${mode.announce} ${mode.headBy} ${mode.limit} ${mode.triggers} ${size}`;
    const text =
      this.#oneCommitTexts.get(key) ?? oneCommitText(this.#options.names, mode, this.#options.by, size);
    this.#oneCommitTexts.set(key, text);
    return text;
  }

  /** Reads the answer of a batch that is committed. If that fails, the batch must not be sent again. */
  #read(batch: readonly Append[], read: () => Appended): Appended {
    try {
      const appended = read();
      appended.outcomes.forEach(({ ids }, i) => {
        const [id] = ids;
        const append = batch[i];
        if (id === undefined || append === undefined) return;
        this.#lastId = ids.at(-1) ?? id;
        this.#latestIds.set(append.stream, this.#lastId);
        this.#known = { id, token: append.token };
      });
      return appended;
    } catch {
      throw outcomeUnknown("unreadable");
    }
  }

  #pauseAnnouncements(): void {
    const ms = Math.min(LONGEST_SILENCE_MS, this.#silence.for * 2 || FIRST_SILENCE_MS);
    if (this.#silence.for === 0)
      log().warn(
        "[act-drizzle] the server's queue of notifications is full: commits are stored and not announced until there is room; look for a session that listens and has long been in a transaction (pg_notification_queue_usage())",
      );
    this.#silence = { until: performance.now() + ms, for: ms };
  }

  /** The mode in which to send a refused batch again; undefined if no other mode can help. */
  #otherMode(error: unknown, mode: AppendMode, facts: Row): AppendMode | undefined {
    if (!(error instanceof TransactionFailure)) return undefined;
    const code = codeOf(error.cause);
    // Rows were inserted with versions out of order. Only the highest version shows which one is free.
    if (mode.headBy === "id" && refusingKey(error, facts, mode.citus) === "stream")
      return { ...mode, headBy: "version" };
    if (code === "54000" && error.step === "commit" && mode.announce) {
      this.#pauseAnnouncements();
      return { ...mode, announce: false };
    }
    // The sequence was dropped.
    return code === "XX000" && mode.sequence !== null
      ? { ...mode, sequence: null, headBy: "version" }
      : undefined;
  }
}
