/**
 * Group commit: commits that are called while a batch runs wait, and form the next batch. There is no timer, so an idle
 * store adds no latency. Commits to one stream are sent in the order of their calls; only one in doubt may be
 * overtaken. Commits with inline projections go in batches of their own, so they may overtake commits to other streams,
 * or be overtaken by them. A commit that fails never fails the others of its batch, unless its inline handler has ended the
 * transaction: then the outcome of the whole batch is unknown. A commit resolves only once its transaction is durable.
 *
 * States of a commit: waiting → sent (in one batch) → stored, refused, or in doubt if its connection was lost. A commit in
 * doubt is looked for in the log while the next batches run. Then it is stored, unknown, or waiting again, to be sent
 * alone. A commit that is not stored by its deadline fails.
 */

import { ConnectionError, codeOf, outcomeUnknown, sanitize, storeClosed } from "../errors.ts";
import { RETRIABLE, type StoreConnections, TransactionFailure } from "../postgres/index.ts";
import { noSignals, type Signals } from "../signals.ts";
import { log } from "../values/log.ts";
import type { Append, Appended, Outcome } from "./append.ts";
import { type Appender, InDoubtError, isOwnFault } from "./appender.ts";
import { BatchLimits, takeOneKind } from "./batch-limits.ts";
import { InlineFailure } from "./inline.ts";
import type { InDoubtTransaction, RecoveredOutcome } from "./recover.ts";

/** The most commits that wait in one store, and the most characters of their JSON; more are refused at once. */
export const MAX_WAITING = 100_000;
export const MAX_WAITING_TEXT = 256_000_000;
/** How often a commit is sent again after a failure that it did not cause: a rollback by the server, a lost connection. */
const REPLAYS = 2;
/** After this many refusals by inline projections, the other commits of the batch are sent one by one. */
const MAX_RESENT = 3;
/** How long an outcome is looked for at least, even if the commit's deadline passes sooner. */
const RECOVERY_WINDOW_MS = 5_000;
/** The name of a slow batch in the log. */
const NAMED_SLOW = "a batch of commits, with its wait for the append lock,";
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;

type Waiting = Append & {
  readonly characters: number;
  readonly since: number;
  readonly tries: number;
  /** It is sent in a batch of its own. */
  readonly alone: boolean;
  /** How often its batch was sent again because an inline projection had refused another commit of the batch. */
  readonly resent?: number;
  /** The value that the observer returned for it. */
  readonly queued: unknown;
  decided(outcome: Outcome, created: Date): void;
  failed(error: Error): void;
};

/** What the log has decided about a commit: it was accepted and stored, or refused. */
export type Decided = { readonly outcome: Outcome; readonly created: Date };

/** Codes of the loss of an established connection. An attempt to connect that is refused or not answered has others. */
const DIED = new Set<string | undefined>(["CONNECTION_CLOSED", "57P01"]);

/** The server rolled the batch back because of other transactions, or refused it as too late: it may be sent again. */
const wasUndone = (cause: Error): boolean => {
  const code = codeOf(cause) ?? "";
  return RETRIABLE.has(code) || code === "TOO_LATE";
};

const deadlineError = (deadline: number, tries: number) =>
  new ConnectionError(
    "DEADLINE",
    tries === 0
      ? `the commit waited ${deadline} ms for its turn, and nothing of it was written`
      : `the commit could not be completed within ${deadline} ms and was not applied`,
    false,
  );

const notApplied = () =>
  new ConnectionError(
    "CONNECTION_CLOSED",
    "the connection was lost again and again: the commit was not applied",
    false,
  );

export class AppendQueue {
  readonly #database: StoreConnections;
  readonly #appender: Appender;
  readonly #signals: Signals;
  readonly #limits = new BatchLimits();
  #waiting: Waiting[] = [];
  #waitingCharacters = 0;
  /** Whether a commit with inline projections may be waiting. */
  #inline = false;
  #running: Promise<void> | undefined;
  readonly #recovering = new Set<Promise<void>>();
  #expiry: NodeJS.Timeout | undefined;
  #closing = false;
  #closed = false;

  constructor(database: StoreConnections, appender: Appender, signals = noSignals()) {
    this.#database = database;
    this.#appender = appender;
    this.#signals = signals;
  }

  /** Commits that wait for a batch. */
  get waiting(): number {
    return this.#waiting.length;
  }

  push(append: Append): Promise<Decided> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(storeClosed());
      let characters = append.meta.length;
      for (const { data, pii } of append.events) characters += data.length + (pii?.length ?? 0);
      const full = this.#waiting.length >= MAX_WAITING || this.#waitingCharacters >= MAX_WAITING_TEXT;
      if (full)
        return reject(
          new ConnectionError(
            "QUEUE_FULL",
            `${this.#waiting.length} commits of ${this.#waitingCharacters} characters are waiting already`,
            false,
          ),
        );
      this.#enqueue([
        {
          ...append,
          characters,
          since: performance.now(),
          tries: 0,
          alone: false,
          queued: this.#signals.observer?.queued(),
          decided: (outcome, created) => resolve({ outcome, created }),
          failed: reject,
        },
      ]);
    });
  }

  /** From now on a recovery begins no attempt after {@link RECOVERY_WINDOW_MS}. One that is running keeps its deadline. */
  limitRecovery(): void {
    this.#closing = true;
  }

  /** Refuses new commits and lets the waiting ones finish. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#running || this.#recovering.size > 0)
      await Promise.all([this.#running, ...this.#recovering]);
  }

  /** `first`: puts the commits at the front, because they have waited longer than all others. */
  #enqueue(commits: readonly Waiting[], first = false): void {
    if (first) this.#waiting = [...commits, ...this.#waiting];
    else this.#waiting.push(...commits);
    for (const { characters, inline } of commits) {
      this.#waitingCharacters += characters;
      if (inline) this.#inline = true;
    }
    this.#watchDeadlines();
    // Starts a microtask later, so that commits that are called in the same turn share the first batch.
    this.#running ??= Promise.resolve().then(() => this.#drain());
  }

  async #drain(): Promise<void> {
    try {
      let tell = () => {};
      while (this.#waiting.length > 0) {
        const sending = this.#send(this.#nextBatch());
        // The callers of the previous batch continue while the server works on this one.
        tell();
        tell = await sending;
      }
      tell();
    } finally {
      this.#running = undefined;
      clearTimeout(this.#expiry);
      this.#expiry = undefined;
    }
  }

  #nextBatch(): Waiting[] {
    if (!this.#inline) return this.#taken(this.#waiting.splice(0, this.#limits.count(this.#waiting)));
    const taken = takeOneKind(this.#waiting, this.#limits);
    const all = new Set(taken);
    this.#waiting = this.#waiting.filter((w) => !all.has(w));
    this.#inline = this.#waiting.some(({ inline }) => inline);
    return this.#taken(taken);
  }

  #taken(commits: Waiting[]): Waiting[] {
    for (const { characters } of commits) this.#waitingCharacters -= characters;
    return commits;
  }

  /** Makes a queued commit fail at its own deadline, even while an earlier batch is still running. */
  #watchDeadlines(): void {
    if (this.#expiry) return;
    const { deadline } = this.#database;
    const [oldest] = this.#waiting;
    if (deadline === 0 || !oldest) return;
    const left = oldest.since + deadline - performance.now();
    this.#expiry = setTimeout(() => {
      this.#expiry = undefined;
      const waiting = this.#dropExpired(this.#waiting);
      this.#waiting = waiting;
      this.#waitingCharacters = waiting.reduce((sum, { characters }) => sum + characters, 0);
      this.#watchDeadlines();
    }, Math.max(0, left) + 1);
    // The running batch, for which the commits wait, keeps the process alive.
    this.#expiry.unref();
  }

  /** Fails the commits whose deadline has passed, and returns the others. None of the commits is in the log. */
  #dropExpired(commits: readonly Waiting[]): Waiting[] {
    const { deadline } = this.#database;
    if (deadline === 0) return [...commits];
    const now = performance.now();
    return commits.filter((w) => {
      const expired = now - w.since > deadline;
      if (expired) w.failed(deadlineError(deadline, w.tries));
      return !expired;
    });
  }

  /**
   * Sends a batch in the current turn of the event loop. Resolves to a function that tells the callers which commits were
   * stored or refused.
   */
  async #send(all: readonly Waiting[]): Promise<() => void> {
    const batch = this.#dropExpired(all);
    const [oldest] = batch;
    if (!oldest) return () => {};
    const { observer } = this.#signals;
    const sent = performance.now();
    const observe = (failed: boolean) => {
      this.#database.log.ended("commit", sent, sent, NAMED_SLOW);
      observer?.batch({
        commits: batch.length,
        events: batch.reduce((sum, { events }) => sum + events.length, 0),
        waitedMs: sent - oldest.since,
        millis: performance.now() - sent,
        queued: batch.map(({ queued }) => queued),
        failed,
      });
    };
    try {
      const transferred = (bytes: number, ms: number) => this.#limits.transferred(bytes, ms);
      const appended = await this.#appender.append(batch, this.#endOf(oldest), transferred);
      if (oldest.inline) this.#limits.projected(batch.length, performance.now() - sent);
      observe(false);
      return () => this.#resolve(batch, appended);
    } catch (error) {
      observe(true);
      await this.#handle(batch, error);
      return () => {};
    }
  }

  /** The commit's deadline, as an instant of `performance.now()`. */
  #endOf({ since }: Waiting): number {
    const { deadline } = this.#database;
    return deadline === 0 ? Number.POSITIVE_INFINITY : since + deadline;
  }

  #resolve(batch: readonly Waiting[], { outcomes, created }: Appended): void {
    batch.forEach((w, i) => {
      const outcome = outcomes[i];
      if (outcome) w.decided(outcome, outcome.created ?? created);
      else w.failed(outcomeUnknown("unreadable"));
    });
  }

  async #handle(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (error instanceof InDoubtError) {
      const recovery = this.#recover(batch, error.transaction).finally(() =>
        this.#recovering.delete(recovery),
      );
      this.#recovering.add(recovery);
      return;
    }
    if (error instanceof InlineFailure) return this.#sendWithout(batch, error);
    // The batch was committed and its answer could not be read, or a handler has ended its transaction: no commit of it
    // may be sent again.
    if (codeOf(error) === "OUTCOME_UNKNOWN") {
      for (const w of batch) w.failed(sanitize(error));
      return;
    }
    // Nothing of the batch was stored.
    const cause = sanitize(error instanceof TransactionFailure ? error.cause : error);
    const refused = error instanceof TransactionFailure && error.step !== undefined;
    if (wasUndone(cause) || (DIED.has(codeOf(cause)) && !refused)) return this.#sendAgain(batch, cause);
    if (batch.length > 1 && error instanceof TransactionFailure && isOwnFault(error))
      for (const w of batch) (await this.#send([{ ...w, alone: true }]))();
    else this.#fail(batch, cause);
  }

  /**
   * Sends the batch again without the commit that an inline projection has refused. If it is not known which one that is,
   * each commit is sent alone.
   */
  async #sendWithout(batch: readonly Waiting[], { error, refused }: InlineFailure): Promise<void> {
    if (refused === undefined) {
      for (const w of batch) (await this.#send([{ ...w, alone: true }]))();
      return;
    }
    batch[refused]?.failed(error);
    const rest = batch
      .filter((_, i) => i !== refused)
      .map((w): Waiting => ({ ...w, resent: (w.resent ?? 0) + 1 }));
    const alone = rest.some(({ resent = 0 }) => resent >= MAX_RESENT);
    const batches = alone ? rest.map((w) => [w]) : [rest];
    for (const again of batches) (await this.#send(again))();
  }

  /** Fails the batch. If it failed because the oldest commit's deadline had passed, commits with time left are sent again. */
  #fail(batch: readonly Waiting[], cause: Error): void {
    const { deadline } = this.#database;
    // A timer may be early by less than a millisecond.
    const expires = performance.now() - deadline + 1;
    const byDeadline = deadline > 0 && batch.some(({ since }) => since <= expires);
    const isTimely = ({ since }: Waiting) => byDeadline && since > expires;
    for (const w of batch) if (!isTimely(w)) w.failed(cause);
    this.#sendAgain(batch.filter(isTimely), cause);
  }

  /** After a lost connection each commit is sent alone, because one of them may be the reason for the loss. */
  #sendAgain(batch: readonly Waiting[], cause: Error): void {
    const again = batch.filter((w) => {
      if (w.tries < REPLAYS) return true;
      w.failed(DIED.has(codeOf(cause)) ? notApplied() : cause);
      return false;
    });
    this.#enqueue(
      again.map((w) => ({ ...w, tries: w.tries + 1, alone: !wasUndone(cause) })),
      true,
    );
  }

  /**
   * Resolves the commits that the log has, and sends again those that it certainly lacks, if time and tries are left.
   * The others fail.
   */
  async #recover(batch: readonly Waiting[], transaction: InDoubtTransaction): Promise<void> {
    const outcomes = await this.#outcomesOf(batch, transaction);
    const absent: Waiting[] = [];
    this.#report(batch, outcomes);
    batch.forEach((w, i) => {
      const outcome = outcomes[i] ?? "unknown";
      if (typeof outcome === "object") w.decided(outcome.outcome, outcome.created);
      else if (outcome === "absent") absent.push(w);
      else w.failed(outcomeUnknown());
    });
    const { deadline } = this.#database;
    const timely = absent.filter((w) => {
      const expired = deadline > 0 && performance.now() - w.since > deadline;
      if (expired) w.failed(deadlineError(deadline, w.tries + 1));
      return !expired;
    });
    if (timely.length > 0) this.#sendAgain(timely, notApplied());
  }

  /** Logs once for each lost connection that commits were in doubt, and what the log showed. */
  #report(batch: readonly Waiting[], outcomes: readonly RecoveredOutcome[]): void {
    const found = { stored: 0, absent: 0, unknown: 0 };
    batch.forEach((_, i) => {
      const outcome = outcomes[i];
      if (typeof outcome === "object") found.stored++;
      else if (outcome === "absent") found.absent++;
      else found.unknown++;
    });
    this.#signals.observer?.inDoubt(found);
    const text = `[act-drizzle] the connection was lost after ${batch.length} commits had been sent; the log was asked: ${found.stored} had been stored, ${found.absent} had not (sent again if time and tries are left), ${found.unknown} are unknown`;
    if (found.unknown > 0)
      log().error(`${text}: those callers got OUTCOME_UNKNOWN and have to look for themselves`);
    else log().warn(text);
  }

  /** The outcome of each commit. All are `unknown` if the log cannot be read in time: the store does not guess. */
  async #outcomesOf(
    batch: readonly Waiting[],
    transaction: InDoubtTransaction,
  ): Promise<readonly RecoveredOutcome[]> {
    const window = performance.now() + RECOVERY_WINDOW_MS;
    const [oldest] = batch;
    const own = Math.max(window, oldest ? this.#endOf(oldest) : window);
    // While the store is being disposed of, only the window counts.
    const end = () => (this.#closing ? window : own);
    const isOver = () => performance.now() >= end();
    let pause = FIRST_PAUSE_MS;
    for (;;) {
      try {
        const outcomes = await this.#appender.recover(batch, transaction, end());
        if (!outcomes.includes("pending")) return outcomes;
        if (isOver()) return outcomes.map((outcome) => (outcome === "pending" ? "unknown" : outcome));
      } catch {
        // The server may be restarting, or the connection may be lost again.
        if (isOver()) return batch.map(() => "unknown");
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }
}
