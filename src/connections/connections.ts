/** What the verbs may ask of the database. Nothing outside this folder knows the driver. */
import type { Config } from "../config.ts";
import { ConnectionError, codeOf, guard, toStoreError } from "../errors.ts";
import { Listener, type ListenerOptions } from "./listener.ts";
import type { Hosts } from "./open.ts";
import { closedError, Pool } from "./pool.ts";
import type { Backend, Query, Row, Slot } from "./slot.ts";
import { Writer } from "./writer.ts";

/** The server's own limit comes first; a connection that stays silent past it by this much is given up. */
const GRACE = 5_000;
/** Timers of more than 31 bits go off at once. */
const LONGEST = 2_147_000_000;
const RETRIES = 5;
/** Deadlock, serialization failure: the statement did nothing and may run again. */
const RETRIABLE = new Set(["40001", "40P01"]);
/** And of what sets a lock_timeout for itself: it passed. */
const GIVING_WAY = new Set([...RETRIABLE, "55P03"]);

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Runs `work` again when the server undid it only because of others. */
async function retrying<T>(work: () => Promise<T>, codes = RETRIABLE): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt > RETRIES || !codes.has(codeOf(error) ?? "")) throw error;
      await pause(Math.random() * 10 * attempt);
    }
  }
}

/** Heads are read after a lock was granted, and predicates checked again under row locks: both need read committed. */
const BEGIN: Query = { text: "begin isolation level read committed" };
const COMMIT: Query = { text: "commit" };

export class Connections {
  readonly config: Config;
  /** The connection for appends. */
  readonly writer: Writer;
  readonly #pool: Pool;
  readonly #listenConfig: Config;
  #listeners = new Set<Listener>();
  #refusing = false;
  #closed = false;

  constructor(config: Config, listenConfig: Config = config) {
    this.config = config;
    this.#listenConfig = listenConfig;
    const answers = () => {
      for (const listener of this.#listeners) listener.hurry();
    };
    const hosts: Hosts = { first: 0, answers };
    this.#pool = new Pool({ config }, hosts, Math.max(1, config.max - 1));
    // A single connection serves both.
    this.writer = new Writer(config, hosts, config.max === 1 ? this.#pool : undefined);
  }

  get counts() {
    return this.#pool.counts;
  }

  /** Longest wait for an answer, in ms; 0 is none. */
  get deadline(): number {
    const limit = this.config.statement_timeout;
    return limit > 0 ? Math.min(limit + GRACE, LONGEST) : 0;
  }

  /** A statement that only reads: runs once more when its connection turns out to be dead. */
  async read<R extends Row = Row>(operation: string, query: Query): Promise<readonly R[]> {
    return (await this.#reading(operation, (slot) => slot.run(query, this.deadline))) as readonly R[];
  }

  /** A read that stops after `budget` characters of JSON. */
  readPage(operation: string, query: Query, budget: number): Promise<{ rows: Row[]; cut: boolean }> {
    return this.#reading(operation, (slot) => slot.read(query, this.deadline, budget));
  }

  #reading<T>(operation: string, work: (slot: Slot) => Promise<T>): Promise<T> {
    return guard(operation, async () => {
      this.#admit();
      try {
        return await retrying(() => this.#pool.use(work));
      } catch (error) {
        // The server, or what stands between, may close idle connections at any time.
        if (!(error instanceof ConnectionError) || error.code !== "CONNECTION_CLOSED" || this.#closed)
          throw error;
        return await retrying(() => this.#pool.use(work, true));
      }
    });
  }

  /** One statement that writes, and commits by itself. `givesWay`: it sets a lock_timeout for itself, and runs again then. */
  async write<R extends Row = Row>(
    operation: string,
    query: Query,
    { givesWay = false }: { givesWay?: boolean } = {},
  ): Promise<readonly R[]> {
    return (await guard(operation, async () => {
      this.#admit();
      // Through a pooler no session says so: each transaction has to.
      const run = this.config.prepare
        ? () => this.#pool.use((slot) => slot.run(query, this.deadline))
        : () =>
            this.#pool.use(
              async (slot) => (await slot.pipeline([BEGIN, query, COMMIT], this.deadline))[1] ?? [],
            );
      return retrying(run, givesWay ? GIVING_WAY : RETRIABLE);
    })) as readonly R[];
  }

  /** Statements of one transaction, sent at once: one round trip. The last answer is COMMIT's. */
  transaction(operation: string, queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return guard(operation, async () => {
      this.#admit();
      return this.#transact(queries);
    });
  }

  #transact(queries: readonly Query[], fresh = false): Promise<(readonly Row[])[]> {
    const all = [BEGIN, ...queries, COMMIT];
    return retrying(() => this.#pool.use((slot) => slot.pipeline(all, this.deadline), fresh));
  }

  /**
   * A connection of one's own for a transaction with turns of the client in between. It is thrown away
   * when `work` fails, so that nothing of it can linger.
   */
  async session<T>(
    operation: string,
    work: (run: (query: Query) => Promise<readonly Row[]>) => Promise<T>,
  ): Promise<T> {
    let begun = false;
    try {
      this.#admit();
      return await this.#pool.use(async (slot) => {
        begun = true;
        try {
          return await work((query) => guard(operation, () => slot.run(query, this.deadline)));
        } catch (error) {
          slot.destroy(new ConnectionError("SESSION_FAILED", "the session was given up", true));
          throw error;
        }
      });
    } catch (error) {
      // What `work` throws is the caller's own; not getting a connection is ours.
      throw begun ? error : toStoreError(operation, error);
    }
  }

  /** For finding out what became of a lost commit, also while the store is being disposed of. */
  async settle(backend: Backend | undefined, queries: readonly Query[]): Promise<(readonly Row[])[]> {
    if (backend) await this.#endBackend(backend);
    // What took one connection may have taken all: the idle ones are not trusted.
    return this.#transact(queries, true);
  }

  /**
   * Makes sure that a server process is gone, with all that it was still to do: a half-open connection may
   * have left it waiting for the append lock. Rejects when it is still there after some seconds.
   */
  async #endBackend({ pid, started }: Backend): Promise<void> {
    const query = {
      text: `select pg_terminate_backend(pid) as ended from pg_stat_activity where pid = $1::int and backend_start = $2::timestamptz`,
      params: [pid, started],
    };
    for (let attempt = 0; attempt < 20; attempt++) {
      const alive = await this.#pool.use((slot) => slot.run(query, this.deadline), attempt === 0);
      if (alive.length === 0) return;
      await pause(25 * (attempt + 1));
    }
    throw new ConnectionError("BACKEND_ALIVE", "the server still works on a lost connection", true);
  }

  /** LISTEN on a connection of its own, which comes back by itself until it is stopped. */
  async listen(options: Omit<ListenerOptions, "config">): Promise<Listener> {
    this.#admit();
    const listener = new Listener({ ...options, config: this.#listenConfig });
    this.#listeners.add(listener);
    try {
      await listener.start();
      return listener;
    } catch (error) {
      this.#listeners.delete(listener);
      await listener.stop();
      throw error;
    }
  }

  #admit(): void {
    if (this.#refusing) throw closedError();
  }

  /** New work is refused from now on; listeners stop at once. */
  async refuse(): Promise<void> {
    this.#refusing = true;
    const all = [...this.#listeners];
    this.#listeners.clear();
    await Promise.all(all.map((listener) => listener.stop()));
  }

  /** Lets running work end, then closes every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.refuse();
    await Promise.all([this.#pool.close(), this.writer.close()]);
  }
}
