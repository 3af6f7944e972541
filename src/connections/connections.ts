/** What the verbs may ask of the database. Nothing outside this folder knows the driver. */
import type { Config } from "../config.ts";
import { ConnectionError, codeOf, guard, toStoreError } from "../errors.ts";
import { Listener, type ListenerOptions } from "./listener.ts";
import { closedError, Pool } from "./pool.ts";
import { type Backend, type Query, type Row, Slot } from "./slot.ts";

/** The server's own limit comes first; a connection that stays silent past it by this much is given up. */
const GRACE = 5_000;
const RETRIES = 5;
/** Deadlock, serialization failure: the statement did nothing and may run again. */
const RETRIABLE = new Set(["40001", "40P01"]);

const BACKEND = `select pid, backend_start::text as started from pg_stat_activity where pid = pg_backend_pid()`;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Runs `work` again when the server undid it only because of others. */
async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt > RETRIES || !RETRIABLE.has(codeOf(error) ?? "")) throw error;
      await pause(Math.random() * 10 * attempt);
    }
  }
}

export class Connections {
  readonly config: Config;
  readonly #pool: Pool;
  readonly #listenConfig: Config;
  #listeners = new Set<Listener>();
  #writer: Slot | undefined;
  #warm: readonly Query[] = [];
  #writerIdle: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(config: Config, listenConfig: Config = config) {
    this.config = config;
    this.#listenConfig = listenConfig;
    this.#pool = new Pool({ config }, Math.max(1, config.max - 1));
  }

  get closed(): boolean {
    return this.#closed;
  }

  get counts() {
    return { ...this.#pool.counts, writer: this.#writer ? 1 : 0 };
  }

  /** Longest wait for an answer, in ms; 0 is none. */
  get deadline(): number {
    const limit = this.config.statement_timeout;
    return limit > 0 ? limit + GRACE : 0;
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
      const once = () => retrying(() => this.#pool.use(work));
      try {
        return await once();
      } catch (error) {
        // The server, or what stands between, may close an idle connection at any time.
        if (!(error instanceof ConnectionError) || error.code !== "CONNECTION_CLOSED" || this.#closed)
          throw error;
        return await once();
      }
    });
  }

  /** One autocommitted statement that writes. */
  async write<R extends Row = Row>(operation: string, query: Query): Promise<readonly R[]> {
    return (await guard(operation, () =>
      retrying(() => this.#pool.use((slot) => slot.run(query, this.deadline))),
    )) as readonly R[];
  }

  /** Statements of one transaction, sent at once: one round trip. The last answer is COMMIT's. */
  transaction(operation: string, queries: readonly Query[]): Promise<(readonly Row[])[]> {
    const all = [{ text: "begin isolation level read committed" }, ...queries, { text: "commit" }];
    return guard(operation, () =>
      retrying(() => this.#pool.use((slot) => slot.pipeline(all, this.deadline))),
    );
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

  /** Statements to prepare on each new writer connection, so that groups go out in one write. */
  warmWriterWith(queries: readonly Query[]): void {
    this.#warm = queries;
  }

  /** The connection for appends, which wait for the append lock: reads must not wait behind them. */
  async writer(): Promise<Slot> {
    clearTimeout(this.#writerIdle);
    const current = this.#writer;
    if (current && !current.failure) {
      current.ref(true);
      return current;
    }
    if (this.#closed) throw closedError();
    const slot = new Slot(
      {
        config: this.config,
        // A half-open client must not hold the append lock: its transactions never idle.
        settings: { idle_in_transaction_session_timeout: 10_000, plan_cache_mode: "force_generic_plan" },
      },
      (dead) => {
        if (this.#writer === dead) this.#writer = undefined;
      },
    );
    this.#writer = slot;
    for (const query of this.#warm) await slot.run(query, this.deadline);
    // Behind a pooler the server process is not this connection's own.
    if (this.config.prepare) {
      const [row] = await slot.run({ text: BACKEND }, this.deadline);
      if (row) slot.backend = { pid: Number(row.pid), started: String(row.started) };
    }
    return slot;
  }

  /**
   * Makes sure that a server process is gone, with all that it was still to do: a half-open connection may
   * have left it waiting for the append lock. Rejects when it is still there after some seconds.
   */
  async endBackend(operation: string, { pid, started }: Backend): Promise<void> {
    for (let attempt = 0; attempt < 20; attempt++) {
      const alive = await this.read(operation, {
        text: `select pg_terminate_backend(pid) as ended from pg_stat_activity where pid = $1::int and backend_start = $2::timestamptz`,
        params: [pid, started],
      });
      if (alive.length === 0) return;
      await pause(25 * (attempt + 1));
    }
    throw new ConnectionError("BACKEND_ALIVE", "the server still works on a lost connection", true);
  }

  /** The writer has nothing to do: it keeps no process alive, and closes after the idle timeout. */
  restWriter(): void {
    const slot = this.#writer;
    if (!slot) return;
    slot.ref(false);
    clearTimeout(this.#writerIdle);
    if (this.config.idleTimeoutMillis <= 0) return;
    this.#writerIdle = setTimeout(() => {
      if (this.#writer === slot) this.#writer = undefined;
      void slot.end();
    }, this.config.idleTimeoutMillis);
    this.#writerIdle.unref();
  }

  /** LISTEN on a connection of its own, which comes back by itself until it is stopped. */
  async listen(options: Omit<ListenerOptions, "config">): Promise<Listener> {
    if (this.#closed) throw closedError();
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

  /** Stops listeners at once; new work is refused from now on. */
  async stopListening(): Promise<void> {
    const all = [...this.#listeners];
    this.#listeners.clear();
    await Promise.all(all.map((listener) => listener.stop()));
  }

  /** Lets running work end, then closes every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#writerIdle);
    await this.stopListening();
    const writer = this.#writer;
    this.#writer = undefined;
    await Promise.all([this.#pool.close(), writer?.end()]);
  }
}
