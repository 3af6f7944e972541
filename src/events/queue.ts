/**
 * Group commit: what is called while a group is in flight waits, and goes out together as the next one.
 * No timer, no added latency when idle. First come, first served; one failing commit never fails its
 * neighbours; a commit resolves only once its transaction is durable.
 */
import type { Backend, Connections, Row, Slot } from "../connections/index.ts";
import { ConnectionError, codeOf, sanitize } from "../errors.ts";
import { lockQuery, type Names } from "../names.ts";
import { type Append, type Appended, type AppendStatements, type Outcome, readOutcomes } from "./append.ts";
import { type Fate, investigation, readFates } from "./recover.ts";

const MAX_COMMITS = 512;
/** Characters of JSON in one group, beyond the first commit. */
const MAX_TEXT = 4_000_000;
/** Commits waiting in one process; more are refused at once. */
export const MAX_WAITING = 100_000;
/** Attempts to find out what became of a lost group. */
const RECOVERIES = 3;
/** ms within which a server that refuses is asked again, if statement_timeout is less. */
const PATIENCE = 5_000;
const REPLAYS = 2;

type Waiting = Append & {
  readonly text: number;
  readonly since: number;
  readonly tries: number;
  done(outcome: Outcome, created: Date): void;
  failed(error: Error): void;
};

/** The connection went, and whether the transaction was committed is not known. */
class Lost extends Error {
  readonly backend: Backend | undefined;
  /** The transaction's id, if it was heard. */
  readonly xid: string | undefined;
  constructor(backend: Backend | undefined, xid: string | undefined) {
    super("lost");
    this.backend = backend;
    this.xid = xid;
  }
}

export type Landed = { readonly outcome: Outcome; readonly created: Date };

/** A connection that was there and went; not a server that refuses or does not answer. */
const DIED = new Set<string | undefined>(["CONNECTION_CLOSED", "57P01"]);
/** Serialization failure, deadlock: the server has undone it, and it may run again. */
const UNDONE = new Set<string | undefined>(["40001", "40P01"]);

/** The last statement of a message answers with the id; a message of several has an answer for each. */
function xidOf(answers: readonly unknown[]): string | undefined {
  const last = answers.at(-1);
  const row: unknown = Array.isArray(last) ? last[0] : last;
  return typeof row === "object" && row !== null && "xid" in row ? String(row.xid) : undefined;
}

/** The group's fate is unknown, and must not be guessed. */
const unknown = () =>
  new ConnectionError(
    "OUTCOME_UNKNOWN",
    "the connection was lost while the commit was under way: it may or may not have landed; load the stream before trying again",
    true,
  );

/** COMMIT has been answered by then: some of it has landed, and none of it may go again. */
function readLanded(group: readonly Append[], row: Row | undefined): Appended {
  try {
    return readOutcomes(group, row);
  } catch {
    throw new ConnectionError(
      "OUTCOME_UNKNOWN",
      "the database's answer does not match what was sent, as when a trigger leaves events out: the commit may have landed; load the stream before trying again",
      true,
    );
  }
}

const notApplied = () =>
  new ConnectionError(
    "CONNECTION_CLOSED",
    "the connection was lost again and again: the commit was not applied",
    false,
  );

export class AppendQueue {
  readonly #connections: Connections;
  readonly #names: Names;
  readonly #statements: AppendStatements;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  /** The id of the newest event that was appended here: a lower one was not written by a later group. */
  #last = 0;
  #expiry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(connections: Connections, names: Names, statements: AppendStatements) {
    this.#connections = connections;
    this.#names = names;
    this.#statements = statements;
  }

  push(append: Append): Promise<Landed> {
    return new Promise((resolve, reject) => {
      if (this.#closed)
        return reject(
          new ConnectionError("STORE_CLOSED", "the store is disposed: create a new PostgresStore", false),
        );
      if (this.#waiting.length >= MAX_WAITING)
        return reject(
          new ConnectionError("QUEUE_FULL", `${MAX_WAITING} commits are waiting already: slow down`, false),
        );
      const text = append.events.reduce(
        (sum, e) => sum + e.data.length + (e.pii?.length ?? 0),
        append.meta.length,
      );
      this.#waiting.push({
        ...append,
        text,
        since: performance.now(),
        tries: 0,
        done: (outcome, created) => resolve({ outcome, created }),
        failed: reject,
      });
      this.#watch();
      // A microtask later, so that commits called in the same turn share the first group.
      this.#running ??= Promise.resolve().then(() => this.#drain());
    });
  }

  /** Refuses new commits and lets the waiting ones finish. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #drain(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#send(this.#next());
    } finally {
      this.#running = undefined;
      clearTimeout(this.#expiry);
      this.#expiry = undefined;
      this.#connections.writer.rest();
    }
  }

  #next(): Waiting[] {
    let text = 0;
    let count = 0;
    for (const { text: own } of this.#waiting) {
      if (count > 0 && (count >= MAX_COMMITS || text + own > MAX_TEXT)) break;
      text += own;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Who waits behind a group that takes long is told when its own deadline passes, not when that group ends. */
  #watch(): void {
    if (this.#expiry) return;
    const { deadline } = this.#connections;
    const [oldest] = this.#waiting;
    if (deadline === 0 || !oldest) return;
    const left = oldest.since + deadline - performance.now();
    this.#expiry = setTimeout(() => {
      this.#expiry = undefined;
      this.#waiting = this.#timely(this.#waiting);
      this.#watch();
    }, left + 1);
    // What it is for, a group under way, keeps the process alive.
    this.#expiry.unref();
  }

  /** Takes out those whose deadline passed while they waited: they were never sent. */
  #timely(group: readonly Waiting[]): Waiting[] {
    const { deadline } = this.#connections;
    if (deadline === 0) return [...group];
    return group.filter((w) => {
      const late = performance.now() - w.since > deadline;
      if (late)
        w.failed(
          new ConnectionError(
            "DEADLINE",
            `the commit waited ${deadline} ms for the append lock and was not sent`,
            false,
          ),
        );
      return !late;
    });
  }

  async #send(all: readonly Waiting[]): Promise<void> {
    const group = this.#timely(all);
    if (group.length === 0) return;
    try {
      this.#resolve(group, await this.#append(group));
    } catch (error) {
      if (error instanceof Lost) await this.#decide(group, error);
      else await this.#separate(group, error);
    }
  }

  /** What the log shows is decided, what it does not hold goes again, and the rest is unknown. */
  async #decide(group: readonly Waiting[], lost: Lost): Promise<void> {
    const fates = await this.#investigate(group, lost);
    const again: Waiting[] = [];
    group.forEach((w, i) => {
      const fate = fates[i] ?? "unknown";
      if (typeof fate === "object") w.done(fate.outcome, fate.created);
      else if (fate === "absent" && w.tries < REPLAYS) again.push({ ...w, tries: w.tries + 1 });
      else w.failed(fate === "absent" ? notApplied() : unknown());
    });
    if (again.length > 0) await this.#send(again);
  }

  /** Nothing when it can't be found out in time, and nothing is guessed then. */
  async #investigate(group: readonly Append[], { backend, xid }: Lost): Promise<readonly Fate[]> {
    // A transaction that was heard of holds the append lock or has ended; another may still wait for it.
    const suspect = xid === undefined ? backend : undefined;
    if (xid === undefined && !suspect) return [];
    const trace = { xid, after: this.#last };
    const questions = [{ text: lockQuery(this.#names) }, ...investigation(this.#names, group, trace)];
    // The server may be restarting, or lost again. One that is there and does not grant the lock is not asked again.
    const { statement_timeout } = this.#connections.config;
    const patience = statement_timeout > 0 ? Math.max(statement_timeout, PATIENCE) : Number.POSITIVE_INFINITY;
    const end = performance.now() + patience;
    for (let attempt = 1; ; attempt++) {
      try {
        // Before these: the answers to BEGIN and to the lock.
        return readFates(group, (await this.#connections.settle(suspect, questions)).slice(2));
      } catch (error) {
        const late = !(error instanceof ConnectionError) && performance.now() >= end;
        if (attempt === RECOVERIES || late) return [];
        await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
      }
    }
  }

  #resolve(group: readonly Waiting[], { outcomes, created }: Appended): void {
    group.forEach((w, i) => {
      const outcome = outcomes[i];
      this.#last = outcome?.ids.at(-1) ?? this.#last;
      if (outcome) w.done(outcome, created);
      else w.failed(unknown());
    });
  }

  /** A server error undoes the whole group. Its commits run again one by one, and only the culprit fails. */
  async #separate(group: readonly Waiting[], error: unknown): Promise<void> {
    const code = codeOf(error) ?? "";
    // Lost connections, cancelled lock waits and a full disk are nobody's fault in the group. A lacking privilege may
    // be one event's: row-level security says it so too.
    const shared = error instanceof ConnectionError || /^(08|25|28|3D|53|55|57|26)|^42(?!501)/.test(code);
    if (group.length === 1 || shared) {
      for (const w of group) w.failed(sanitize(error));
      return;
    }
    for (const w of group) await this.#send([w]);
  }

  /** Sends one group until it is known to be committed or not. */
  async #append(group: readonly Append[]): Promise<Appended> {
    const { open, commit, insert } = this.#statements;
    const { deadline, writer } = this.#connections;
    const query = insert(group);
    for (let attempt = 0; ; attempt++) {
      let xid: string | undefined;
      let row: Row | undefined;
      let slot: Slot | undefined;
      try {
        return await writer.use(deadline, async (ready) => {
          slot = ready;
          await ready.pipeline([open, query, commit], deadline, (i, rows) => {
            if (i === 0) xid = xidOf(rows);
            if (i === 1) row = rows[0];
          });
          return readLanded(group, row);
        });
      } catch (error) {
        if (!slot) {
          // Never sent: the new connection was lost while it was made ready.
          if (attempt < REPLAYS && DIED.has(codeOf(error))) continue;
          throw error;
        }
        if (!slot.failure) {
          if (attempt < REPLAYS && UNDONE.has(codeOf(error))) continue;
          throw error; // the server said no, and rolled back
        }
        throw new Lost(slot.backend, xid);
      }
    }
  }
}
